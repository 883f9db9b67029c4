"""The command line: one room per group of commands, loaded only when that command is called.

Start with `main`: the list of commands, the options that stand before them, and what becomes of an error.
`place` finds the application and the store that a command is about, `refusing` turns every error into one
line and an exit code (0 fine, 1 the thing asked about is not fine, 2 wrong use), `showing` prints tables
for people and one JSON document for programs, `records` gives that document its stable names. The other
files are commands. They decide nothing by themselves: whatever changes a job goes through the same
promises of storage and the same rules as a worker's verdicts, so an operator cannot do what an engine
could not.

What comes out of the store is somebody else's text. It is printed with control characters escaped and
never read as markup, so that a task name cannot repaint a terminal.
"""
