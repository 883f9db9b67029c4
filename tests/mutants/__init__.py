"""A bank of planted bugs: the tests are worth what they catch.

Each mutant is one careless line that such systems really had, planted in a copy of the tree, one at a
time, never in the tree itself. The tests that are likeliest to notice run first, then ever more of them;
a mutant that nobody notices is a hole in the tests, and `make mutants` fails until the hole is closed.

`mutant.py` says what a mutant is, `bank/` holds them by the room of the product that they are planted in,
`planting.py` makes the copies, `hunting.py` runs the tests, `__main__.py` tells. `test_bank.py` belongs to
`make test`: it sees to it that each text to be replaced still stands in the source, once.
"""
