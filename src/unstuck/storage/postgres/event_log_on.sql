-- The event log: a table, and triggers that write into it in the transaction of every change.
-- A line is numbered behind the last one of its record: who writes it holds the lock of the record's row,
-- and a trigger's statement sees what was committed before that lock was given. A change that leaves all
-- facts as they were writes none; a renewal sets no column that is a fact, so its trigger does not even fire.

-- Jobs change by hundreds in one statement, so their lines are written by one statement too, as columns: the
-- document that `events` gives out is made when somebody reads it. Where `facts` is not null it is the document.

CREATE TABLE IF NOT EXISTS {events} (
    record text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    at timestamptz,
    facts text,
    PRIMARY KEY (record, number)
);

ALTER TABLE {events}
    ADD COLUMN IF NOT EXISTS state text COLLATE "C",
    ADD COLUMN IF NOT EXISTS reason text COLLATE "C",
    ADD COLUMN IF NOT EXISTS generation integer,
    ADD COLUMN IF NOT EXISTS fence bigint,
    ADD COLUMN IF NOT EXISTS queue text COLLATE "C",
    ADD COLUMN IF NOT EXISTS task text COLLATE "C",
    ADD COLUMN IF NOT EXISTS priority smallint,
    ADD COLUMN IF NOT EXISTS line bigint,
    ADD COLUMN IF NOT EXISTS wake_at timestamptz,
    ADD COLUMN IF NOT EXISTS expires_at timestamptz,
    ADD COLUMN IF NOT EXISTS created_at timestamptz,
    ADD COLUMN IF NOT EXISTS claimed_at timestamptz,
    ADD COLUMN IF NOT EXISTS finished_at timestamptz,
    ADD COLUMN IF NOT EXISTS keep_until timestamptz,
    ADD COLUMN IF NOT EXISTS failures integer,
    ADD COLUMN IF NOT EXISTS crashes integer,
    ADD COLUMN IF NOT EXISTS losses integer,
    ADD COLUMN IF NOT EXISTS handbacks integer,
    ADD COLUMN IF NOT EXISTS snoozes integer,
    ADD COLUMN IF NOT EXISTS worker_id uuid,
    ADD COLUMN IF NOT EXISTS verdict_id uuid,
    ADD COLUMN IF NOT EXISTS cancel_asked_at timestamptz,
    ADD COLUMN IF NOT EXISTS timeout_us bigint,
    ADD COLUMN IF NOT EXISTS options text;

-- A job's next lines stand behind its first one, so its page needs room for them: a page that was filled with
-- first lines would be split at the claim and again at the ending.
ALTER INDEX {name events_pkey} SET (fillfactor = 30);

-- What is looked up must be looked up along the index, however small everything was when the plan was made: a
-- session keeps it. A change is what differs from the last line, which is looked up for its number anyway; a job
-- that has none, because somebody took the lines away, is found.
CREATE FUNCTION {name log_job}() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $log$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO {events} (record, number, kind, name, at)
        SELECT
            OLD.id::text,
            COALESCE((SELECT e.number FROM {events} AS e WHERE e.record = OLD.id::text ORDER BY e.number DESC LIMIT 1), 0) + 1,
            'job', 'deleted', {event_now}
        FROM gone AS OLD;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO {events} (
            {part line_columns}
        )
        SELECT
            NEW.id::text,
            COALESCE((SELECT e.number FROM {events} AS e WHERE e.record = NEW.id::text ORDER BY e.number DESC LIMIT 1), 0) + 1,
            'job', 'inserted', {event_now},
            {part line_values}
        FROM added AS NEW;
    ELSE
        INSERT INTO {events} (
            {part line_columns}
        )
        SELECT
            COALESCE(OLD.record, NEW.id::text), COALESCE(OLD.number, 0) + 1,
            'job', CASE WHEN OLD.state IS NULL THEN 'found' ELSE {part job_happening} END, {event_now},
            {part line_values}
        FROM become AS NEW LEFT JOIN LATERAL (
            SELECT e.* FROM {events} AS e WHERE e.record = NEW.id::text ORDER BY e.number DESC LIMIT 1
        ) AS OLD ON true
        WHERE NEW.fence <> OLD.fence
            OR NEW.verdict_id IS DISTINCT FROM OLD.verdict_id
            OR (
                NEW.state, NEW.reason, NEW.generation, NEW.fence, NEW.queue, NEW.task, NEW.priority, NEW.line,
                NEW.wake_at, NEW.expires_at, NEW.claimed_at, NEW.finished_at, NEW.keep_until, NEW.failures,
                NEW.crashes, NEW.losses, NEW.handbacks, NEW.snoozes, NEW.worker_id, NEW.verdict_id,
                NEW.cancel_asked_at
            ) IS DISTINCT FROM (
                OLD.state, OLD.reason, OLD.generation, OLD.fence, OLD.queue, OLD.task, OLD.priority, OLD.line,
                OLD.wake_at, OLD.expires_at, OLD.claimed_at, OLD.finished_at, OLD.keep_until, OLD.failures,
                OLD.crashes, OLD.losses, OLD.handbacks, OLD.snoozes, OLD.worker_id, OLD.verdict_id,
                OLD.cancel_asked_at
            );
    END IF;
    RETURN NULL;
END;
$log$;

CREATE FUNCTION {name log_worker}() RETURNS trigger LANGUAGE plpgsql AS $log$
DECLARE
    before record;
    who text := COALESCE(NEW.id, OLD.id)::text;
    said text;
BEGIN
    IF TG_OP <> 'DELETE' THEN
        said := {part worker_facts}::text;
    END IF;
    SELECT e.number, e.facts INTO before FROM {events} AS e WHERE e.record = who ORDER BY e.number DESC LIMIT 1;
    IF TG_OP <> 'UPDATE' OR before.facts IS DISTINCT FROM said THEN
        INSERT INTO {events} (record, number, kind, name, at, facts)
        VALUES (
            who, COALESCE(before.number, 0) + 1, 'worker',
            CASE TG_OP WHEN 'INSERT' THEN 'registered' WHEN 'DELETE' THEN 'deleted' ELSE {part worker_happening} END,
            {event_now}, said
        );
    END IF;
    RETURN NULL;
END;
$log$;

CREATE FUNCTION {name log_queue}() RETURNS trigger LANGUAGE plpgsql AS $log$
DECLARE
    before record;
    who text := COALESCE(NEW.name, OLD.name);
    said text;
BEGIN
    IF TG_OP <> 'DELETE' THEN
        said := {part queue_facts}::text;
    END IF;
    SELECT e.number, e.facts INTO before FROM {events} AS e WHERE e.record = who ORDER BY e.number DESC LIMIT 1;
    IF TG_OP <> 'UPDATE' OR before.facts IS DISTINCT FROM said THEN
        INSERT INTO {events} (record, number, kind, name, at, facts)
        VALUES (
            who, COALESCE(before.number, 0) + 1, 'queue',
            CASE TG_OP WHEN 'INSERT' THEN 'inserted' WHEN 'DELETE' THEN 'deleted' ELSE {part queue_happening} END,
            {event_now}, said
        );
    END IF;
    RETURN NULL;
END;
$log$;

CREATE TRIGGER {name log_job_inserted} AFTER INSERT ON {jobs}
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION {name log_job}();

CREATE TRIGGER {name log_job_changed} AFTER UPDATE ON {jobs}
REFERENCING NEW TABLE AS become FOR EACH STATEMENT EXECUTE FUNCTION {name log_job}();

CREATE TRIGGER {name log_job_deleted} AFTER DELETE ON {jobs}
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION {name log_job}();

CREATE TRIGGER {name log_worker} AFTER INSERT OR DELETE OR UPDATE OF {part worker_columns} ON {workers}
FOR EACH ROW EXECUTE FUNCTION {name log_worker}();

CREATE TRIGGER {name log_queue} AFTER INSERT OR DELETE OR UPDATE ON {queues}
FOR EACH ROW EXECUTE FUNCTION {name log_queue}();

{part found_records};
