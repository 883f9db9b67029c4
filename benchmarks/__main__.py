"""`python -m benchmarks`: contenders in turn, a table, JSON, and charts. `--help` says the rest."""

from benchmarks.command import main

if __name__ == "__main__":
    main()
