-- The checks of `jobs` say each state by itself. A list of more than two is a small table to SQLite, which it makes
-- anew for every row that a check looks at: nearly half of all its work for a claim and an ending was that.
-- A check cannot be changed in its place, so the table is made anew, in the order of its rows.

CREATE TABLE {jobs}_anew (
    id TEXT NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL DEFAULT 1,
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    priority INTEGER NOT NULL,
    line INTEGER NOT NULL,
    wake_at INTEGER,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    claimed_at INTEGER,
    finished_at INTEGER,
    keep_until INTEGER,
    fence INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    losses INTEGER NOT NULL DEFAULT 0,
    handbacks INTEGER NOT NULL DEFAULT 0,
    snoozes INTEGER NOT NULL DEFAULT 0,
    worker_id TEXT,
    verdict_id TEXT,
    cancel_asked_at INTEGER,
    timeout_us INTEGER,
    args TEXT NOT NULL,
    result TEXT,
    error TEXT,
    codec INTEGER NOT NULL DEFAULT 1,
    options TEXT NOT NULL DEFAULT '{}',
    labels TEXT NOT NULL DEFAULT '{}',
    progress TEXT,
    has_effects INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT {name jobs_state} CHECK ((state = 'scheduled' OR state = 'waiting' OR state = 'ready' OR state = 'running' OR state = 'succeeded' OR state = 'failed' OR state = 'cancelled')),
    CONSTRAINT {name jobs_attended} CHECK ((state = 'succeeded' OR state = 'failed' OR state = 'cancelled') OR state = 'ready' OR (state = 'running' AND worker_id IS NOT NULL) OR ((state = 'scheduled' OR state = 'waiting') AND wake_at IS NOT NULL))
);

INSERT INTO {jobs}_anew (
    id, generation, queue, task, state, reason, priority, line, wake_at, expires_at, created_at,
    claimed_at, finished_at, keep_until, fence, failures, crashes, losses, handbacks, snoozes,
    worker_id, verdict_id, cancel_asked_at, timeout_us, args, result, error, codec, options, labels,
    progress, has_effects
)
SELECT
    id, generation, queue, task, state, reason, priority, line, wake_at, expires_at, created_at,
    claimed_at, finished_at, keep_until, fence, failures, crashes, losses, handbacks, snoozes,
    worker_id, verdict_id, cancel_asked_at, timeout_us, args, result, error, codec, options, labels,
    progress, has_effects
FROM {jobs} ORDER BY rowid;

DROP TABLE {jobs};
ALTER TABLE {jobs}_anew RENAME TO {jobs};

CREATE INDEX {name jobs_claim} ON {jobs} (queue, line, id) WHERE state = 'ready';
CREATE INDEX {name jobs_wake} ON {jobs} (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX {name jobs_worker} ON {jobs} (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX {name jobs_keep} ON {jobs} (keep_until) WHERE keep_until IS NOT NULL;
