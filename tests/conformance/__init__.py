"""One suite for every keeper: each sentence of `storage/protocol.py` as a test that names no engine.

`conftest.py` is the only file that knows which keepers there are. `trying.py` is what a test sees of
one: its promises as methods, a clock that the test moves, rivals on connections of their own.
"""
