"""Simulated worlds: the real engine under virtual time and a weather drawn from a seed.

    make simulate                            the seeds of `make test`
    make simulate SEEDS=2000                 more of them
    make simulate SEED=17 WORLD=memory       one seed, told as a story if it fails
    python -m tests.simulation --seed 17     the same, with the whole event log on request

`loop` is the event loop (virtual time, processes that can be killed, paused and suspended), `lane` the way
to the store with every `message` a point to go wrong (its `deadlines` with one timer), `weather` draws what goes wrong, `workload` the jobs
and what their handlers do, in coroutines, in `threads`, or ending inside a transaction of their own (`insiders`), `clients` who enqueues
them, `crew` the supervisors, children and solo workers, `ear` their hints, `operating` an operator who meddles, `ground` and `sqlite_ground` the stores, `world` puts them together. The `auditor` judges with
a mind of its own: what it has `seen`, the `troubles` that excuse, the `job_moves` and `worker_moves` that are legal, the
`endings` that were witnessed. `story` makes a failing seed small and tells it. A seed that found a bug stands in
`regressions.txt` for ever.

On PostgreSQL (`scheduled_world`) every wire is a real connection: `controller` releases the statements one at a
time and knows who waits for whom, `schedule` gives them virtual time, `scheduled_wire` is a client's end of one,
`postgres_ground` is the server.
"""
