"""Benchmarks: this project beside its peers, in one run, on the same servers, in turn.

Only ratios taken within one run mean anything, so the harness measures contenders alternately (A B A B),
reports medians, notes how much processor the hypervisor took away meanwhile, and repeats a line once where
that was more than a tenth. A contender is a `Peer` (benchmarks/peer.py): one small class that says how its
jobs are enqueued, counted and worked off, with the settings its own documentation recommends. It runs in an
environment of its own (benchmarks/environments.py) as an agent (benchmarks/agent.py) that takes orders line
by line; its handlers all do the same, they write the moment of their start on a page shared with the harness
(benchmarks/stamps.py).

What can go wrong here is unfairness: another durability, other statistics, a rest of the round before. So each
line begins with a new database (or an empty Redis, or a new file), PostgreSQL is one server with fsync on, and
statistics are fresh for everyone. Nothing of the product imports this folder.
"""
