"""The front door: `App`, tasks, handles, and the commands behind them, written once for both colours."""
