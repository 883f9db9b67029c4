"""Real processes, real signals, real servers: what the promises are worth when something is killed.

`tasks.py` is an application like any other, whose handlers also write down what they do (`witness.py`).
`crew.py` starts its workers through the command line and disturbs them. `stores.py` is the only place
that names an engine. Every test waits for facts, never for seconds, and ends by comparing the witness
with the store: nothing lost, one ending per job, no overlap that is not allowed.
"""
