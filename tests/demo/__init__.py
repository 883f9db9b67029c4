"""The demo: its counting with made-up facts, and two real runs over a small folder."""
