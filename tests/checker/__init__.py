"""The history checker: a second mind that judges a run by what was written down about it.

    python -m tests.checker FOLDER        a line per invariant; exit 1 if any is broken

It imports nothing of the product (a test forbids it), so it cannot share the product's misunderstandings: the
life cycle stands here once more, written from the design. It believes five sources that do not know each
other, JSON lines in one folder, read in one pass each:

- `events.jsonl`, the event log: {record, number, kind, name, at, facts}, record by record, each in its own order;
- `client.jsonl`, what clients asked and were told: {call, kind, what: invoke|ok|unknown|refused, jobs|id, answer,
  at}; of a `read` the answer is {state, generation} or null, and `at` is of the host's own clock;
- `witness.jsonl`, what handlers saw: {what: start|tick|end, at, job, fence, worker, how, has_effect};
- `effects.jsonl`, what handlers left behind in one transaction with their ending: {job, fence};
- `jobs.jsonl`, `workers.jsonl`, `attempts.jsonl`: the rows at the end, under the columns' names; a moment is
  microseconds as a whole number or seconds as a fraction.

`run.json` says what else is known: `now_us` and `bound_us` (the store's now, and R), `has_steady_clock` (nobody
stepped the store's clock), `slack_us` (how late a statement may commit), `is_over` (everything must have ended),
`is_witnessed` (every handler speaks). What is missing makes invariants *not applicable*, with the reason; so does a run in
which there was nothing to look at: a check that looked at nothing has not passed.

Only orders that exist are used: that of one record's lines, that of one file of a host's own clock, and, where
the clock was steady, the store's moments with their slack. The names are those of the reliability programme:
S for one consistent read, H for histories, L for what must have ended.
"""
