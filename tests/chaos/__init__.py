"""Chaos with real processes: workers, clients and servers under everything that a seed draws, for minutes.

`make chaos MINUTES=1 SEED=7 ENGINE=postgres` starts supervisors by the command line (`storm.py`), on a store of
its own and over the ways that lead to it (`ground.py`, `proxy.py`, `stepping.py`), and clients that insist
until they are told yes (`clients.py`, `drawing.py`). A plan that follows from the seed (`faults.py`) kills,
freezes, cuts, fills and steps. Then all is healed, and by R and the rest of the work everything must have ended
(`running.py`). `accounting.py` says what was broken, `recovering.py` how long things took, `table.py` tells.

The seed decides which faults come, when, for how long and whom of those who live then; what meets what is up to
the machine, so a run is not repeated to the letter. What was done is in the logs. A folder of JSON lines is left
behind by a run that fails (or by KEEP=…), for reading and for checkers that share nothing with this code. `at` is
CLOCK_BOOTTIME in seconds, the same for all processes; `wall` seconds since the epoch, stepped for some.

- `client.jsonl`: {call, kind, what, at, wall, …}. `kind` is enqueue, aenqueue, enqueue_many, enqueue_tx,
  enqueue_rolled_back (it never commits) or cancel. `what` is `invoke` (with `jobs`, a list of {id, task, seconds, ending, tries, queue?,
  priority?, delay?, expires?, timeout?, then?: id of the follow-up}; or `id` for a cancel), written before the call;
  `ok` (with `answer`; for a cancel true, false, or null where there is no such job), `unknown` (`error`: it may
  have happened, the same ids are sent again), `refused` (`error`: a bug). A call without `ok` is unknown.
- `faults.jsonl`: {what, at, wall, …}. `started` (pid, route or client), `left` (pid, code: nobody told it to),
  `begin` (number, kind, planned, and pids, route, supervisor, lasts or seconds where they apply; pids [] means
  that nobody was there), `end` (number, kind), `healed`.
- `witness.jsonl`: {what, at, wall, job, fence, attempt, worker, pid}, fsynced by handlers: `start`, `tick`, `end`
  with `how`: `returned`, or the name of what was raised.
- `ledger.jsonl`: what triggers in the store saw, in the order of commits per job: {job, generation, source, target,
  fence, worker, verdict, at}; here `at` is seconds since the epoch by the store; source null: inserted; target
  null: deleted.
- `events.jsonl`: the product's own event log, as `unstuck events export` prints it.
- `jobs.jsonl`, `attempts.jsonl` (of jobs that were claimed more than once or have no result), `workers.jsonl`: the
  rows at the end as the product reads them, under its own names; moments in seconds since the epoch.
- `run.json`: what `tests/checker` wants to know beside; `checker.txt`: what it said.
- `report.json`: the table; `worker-N.log`, `clientN.log`: what they printed.
"""
