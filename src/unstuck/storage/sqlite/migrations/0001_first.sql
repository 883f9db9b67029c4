-- The first layout. Moments are integer microseconds in UTC, ids canonical text, documents JSON text.
-- The lists of states and the three CHECKs repeat model/states.py, and a test compares them.

CREATE TABLE {jobs} (
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
    CONSTRAINT {name jobs_state} CHECK (state IN ('scheduled', 'waiting', 'ready', 'running', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT {name jobs_attended} CHECK (state IN ('succeeded', 'failed', 'cancelled') OR state = 'ready' OR (state = 'running' AND worker_id IS NOT NULL) OR (state IN ('scheduled', 'waiting') AND wake_at IS NOT NULL))
);

-- The claim: queue, then place in line. The only index that names a state.
CREATE INDEX {name jobs_claim} ON {jobs} (queue, line, id) WHERE state = 'ready';
CREATE INDEX {name jobs_wake} ON {jobs} (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX {name jobs_worker} ON {jobs} (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX {name jobs_keep} ON {jobs} (keep_until) WHERE keep_until IS NOT NULL;

CREATE TABLE {attempts} (
    job_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    verdict_id TEXT,
    attempt INTEGER NOT NULL,
    worker_id TEXT,
    started_at INTEGER,
    ended_at INTEGER,
    outcome TEXT NOT NULL,
    reason TEXT,
    error TEXT,
    detail TEXT NOT NULL DEFAULT '{}',
    late_at INTEGER,
    late_wanted TEXT,
    PRIMARY KEY (job_id, fence)
) WITHOUT ROWID;

-- Late endings are counted per worker, and are rare.
CREATE INDEX {name attempts_late} ON {attempts} (worker_id) WHERE late_at IS NOT NULL;

CREATE TABLE {job_logs} (
    job_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job_id, fence, number)
) WITHOUT ROWID;

CREATE TABLE {workers} (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    supervisor_id TEXT,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    lease_us INTEGER NOT NULL,
    lease_until INTEGER,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    reason TEXT,
    draining_at INTEGER,
    leaving_at INTEGER,
    stalled_at INTEGER,
    queues TEXT NOT NULL DEFAULT '[]',
    version TEXT NOT NULL DEFAULT '',
    report TEXT NOT NULL DEFAULT '{}',
    CONSTRAINT {name workers_attended} CHECK (ended_at IS NOT NULL OR lease_until IS NOT NULL)
) WITHOUT ROWID;

-- Sweeps visit ended workers one by one.
CREATE INDEX {name workers_ended} ON {workers} (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE {worker_tasks} (
    worker_id TEXT NOT NULL,
    task TEXT NOT NULL,
    PRIMARY KEY (worker_id, task)
) WITHOUT ROWID;

CREATE TABLE {queues} (
    name TEXT NOT NULL PRIMARY KEY,
    step_us INTEGER NOT NULL,
    paused_at INTEGER
) WITHOUT ROWID;

CREATE TABLE {notices} (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    sentence TEXT NOT NULL,
    since INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID;

CREATE TABLE {meta} (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE {migrations} (
    number INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL
);

-- Who this store is: a replaced file or a restored copy can be told from the one that was opened.
INSERT INTO {meta} (name, value) VALUES ('instance', lower(hex(randomblob(16))));
