"""The embedded keeper: one SQLite file shared by the processes of one host."""
