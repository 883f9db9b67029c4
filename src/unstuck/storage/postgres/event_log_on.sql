-- The event log: a table, and triggers that write into it in the transaction of every change.
-- A line is numbered behind the last one of its record: who writes it holds the lock of the record's row,
-- and a trigger's statement sees what was committed before that lock was given. A change that leaves all
-- facts as they were writes none; a renewal sets no column that is a fact, so its trigger does not even fire.

CREATE TABLE IF NOT EXISTS {events} (
    record text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    at timestamptz,
    facts text,
    PRIMARY KEY (record, number)
);

CREATE FUNCTION {name log_job}() RETURNS trigger LANGUAGE plpgsql AS $log$
DECLARE
    before record;
    who text := COALESCE(NEW.id, OLD.id)::text;
    said text;
BEGIN
    IF TG_OP <> 'DELETE' THEN
        said := {part job_facts}::text;
    END IF;
    SELECT e.number, e.facts INTO before FROM {events} AS e WHERE e.record = who ORDER BY e.number DESC LIMIT 1;
    IF TG_OP <> 'UPDATE' OR before.facts IS DISTINCT FROM said THEN
        INSERT INTO {events} (record, number, kind, name, at, facts)
        VALUES (
            who, COALESCE(before.number, 0) + 1, 'job',
            CASE TG_OP WHEN 'INSERT' THEN 'inserted' WHEN 'DELETE' THEN 'deleted' ELSE {part job_happening} END,
            {event_now}, said
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

CREATE TRIGGER {name log_job} AFTER INSERT OR DELETE OR UPDATE OF {part job_columns} ON {jobs}
FOR EACH ROW EXECUTE FUNCTION {name log_job}();

CREATE TRIGGER {name log_worker} AFTER INSERT OR DELETE OR UPDATE OF {part worker_columns} ON {workers}
FOR EACH ROW EXECUTE FUNCTION {name log_worker}();

CREATE TRIGGER {name log_queue} AFTER INSERT OR DELETE OR UPDATE ON {queues}
FOR EACH ROW EXECUTE FUNCTION {name log_queue}();

{part found_records};
