-- The first layout. Documents are JSON kept as text, byte for byte as they came. Names are compared by
-- their bytes, as the other engines do it, and so no change of the system's collations can break an index.
-- The lists of states and the three CHECKs repeat model/states.py, and a test compares them.

CREATE TABLE {jobs} (
    id uuid NOT NULL PRIMARY KEY,
    generation integer NOT NULL DEFAULT 1,
    queue text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    reason text COLLATE "C",
    priority smallint NOT NULL,
    line bigint NOT NULL,
    wake_at timestamptz,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    claimed_at timestamptz,
    finished_at timestamptz,
    keep_until timestamptz,
    fence bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    crashes integer NOT NULL DEFAULT 0,
    losses integer NOT NULL DEFAULT 0,
    handbacks integer NOT NULL DEFAULT 0,
    snoozes integer NOT NULL DEFAULT 0,
    worker_id uuid,
    verdict_id uuid,
    cancel_asked_at timestamptz,
    timeout_us bigint,
    args text NOT NULL,
    result text,
    error text,
    codec smallint NOT NULL DEFAULT 1,
    options text NOT NULL DEFAULT '{}',
    labels text NOT NULL DEFAULT '{}',
    progress text,
    has_effects boolean NOT NULL DEFAULT false,
    CONSTRAINT {name jobs_state} CHECK (state IN ('scheduled', 'waiting', 'ready', 'running', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT {name jobs_attended} CHECK (state IN ('succeeded', 'failed', 'cancelled') OR state = 'ready' OR (state = 'running' AND worker_id IS NOT NULL) OR (state IN ('scheduled', 'waiting') AND wake_at IS NOT NULL))
) WITH (
    -- Every job leaves three dead rows behind: vacuum by number, not by share of a growing table.
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 1,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_analyze_threshold = 2000
);

-- The claim: queue, then place in line. The only index that names a state.
CREATE INDEX {name jobs_claim} ON {jobs} (queue, line, id) WHERE state = 'ready';
CREATE INDEX {name jobs_wake} ON {jobs} (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX {name jobs_worker} ON {jobs} (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX {name jobs_keep} ON {jobs} (keep_until) WHERE keep_until IS NOT NULL;

CREATE TABLE {attempts} (
    job_id uuid NOT NULL,
    fence bigint NOT NULL,
    verdict_id uuid,
    attempt integer NOT NULL,
    worker_id uuid,
    started_at timestamptz,
    ended_at timestamptz,
    outcome text COLLATE "C" NOT NULL,
    reason text COLLATE "C",
    error text,
    detail text NOT NULL DEFAULT '{}',
    late_at timestamptz,
    late_wanted text,
    PRIMARY KEY (job_id, fence)
);

-- Late endings are counted per worker, and are rare.
CREATE INDEX {name attempts_late} ON {attempts} (worker_id) WHERE late_at IS NOT NULL;

CREATE TABLE {job_logs} (
    job_id uuid NOT NULL,
    fence bigint NOT NULL,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (job_id, fence, number)
);

CREATE TABLE {workers} (
    id uuid NOT NULL PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    supervisor_id uuid,
    host text NOT NULL,
    pid bigint NOT NULL,
    lease_us bigint NOT NULL,
    lease_until timestamptz,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    reason text COLLATE "C",
    draining_at timestamptz,
    leaving_at timestamptz,
    stalled_at timestamptz,
    queues text NOT NULL DEFAULT '[]',
    version text NOT NULL DEFAULT '',
    report text NOT NULL DEFAULT '{}',
    CONSTRAINT {name workers_attended} CHECK (ended_at IS NOT NULL OR lease_until IS NOT NULL)
) WITH (
    -- Renewals change no index but at the end, so they stay on their page.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 200
);

-- Sweeps visit ended workers one by one.
CREATE INDEX {name workers_ended} ON {workers} (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE {worker_tasks} (
    worker_id uuid NOT NULL,
    task text COLLATE "C" NOT NULL,
    PRIMARY KEY (worker_id, task)
);

CREATE TABLE {queues} (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    step_us bigint NOT NULL,
    paused_at timestamptz
);

CREATE TABLE {notices} (
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    sentence text NOT NULL,
    since timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (kind, subject)
);

CREATE TABLE {meta} (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE {migrations} (
    number integer NOT NULL PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL
);

-- Who this store is: a replaced file or a restored copy can be told from the one that was opened.
INSERT INTO {meta} (name, value) VALUES ('instance', replace(CAST(gen_random_uuid() AS text), '-', ''));
