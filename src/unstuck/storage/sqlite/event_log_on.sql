-- The event log: a table, and triggers that write into it in the transaction of every change.
-- A line is numbered behind the last one of its record, which nobody else can write meanwhile; a change
-- that leaves all facts as they were writes none. Columns that change without a line: see `facts` in the
-- parts of common.sql; a renewal sets none of those, so its trigger does not even fire.

CREATE TABLE IF NOT EXISTS {events} (
    record TEXT NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    at INTEGER,
    facts TEXT,
    PRIMARY KEY (record, number)
) WITHOUT ROWID;

CREATE TRIGGER {name log_job_inserted} AFTER INSERT ON {jobs} BEGIN
    INSERT INTO {events} (record, number, kind, name, at, facts)
    SELECT NEW.id, (SELECT COALESCE(max(e.number), 0) + 1 FROM {events} AS e WHERE e.record = NEW.id),
        'job', 'inserted', {event_now}, {part job_facts};
END;

CREATE TRIGGER {name log_job_changed} AFTER UPDATE OF {part job_columns} ON {jobs} BEGIN
    INSERT INTO {events} (record, number, kind, name, at, facts)
    SELECT NEW.id, COALESCE(l.number, 0) + 1, 'job', {part job_happening}, {event_now}, f.facts
    FROM (SELECT {part job_facts} AS facts) AS f
    LEFT JOIN (
        SELECT e.number, e.facts FROM {events} AS e WHERE e.record = NEW.id ORDER BY e.number DESC LIMIT 1
    ) AS l ON true
    WHERE f.facts IS NOT l.facts;
END;

CREATE TRIGGER {name log_job_deleted} AFTER DELETE ON {jobs} BEGIN
    INSERT INTO {events} (record, number, kind, name, at, facts)
    SELECT OLD.id, (SELECT COALESCE(max(e.number), 0) + 1 FROM {events} AS e WHERE e.record = OLD.id),
        'job', 'deleted', {event_now}, NULL;
END;

CREATE TRIGGER {name log_worker_inserted} AFTER INSERT ON {workers} BEGIN
    INSERT INTO {events} (record, number, kind, name, at, facts)
    SELECT NEW.id, (SELECT COALESCE(max(e.number), 0) + 1 FROM {events} AS e WHERE e.record = NEW.id),
        'worker', 'registered', {event_now}, {part worker_facts};
END;

CREATE TRIGGER {name log_worker_changed} AFTER UPDATE OF {part worker_columns} ON {workers} BEGIN
    INSERT INTO {events} (record, number, kind, name, at, facts)
    SELECT NEW.id, COALESCE(l.number, 0) + 1, 'worker', {part worker_happening}, {event_now}, f.facts
    FROM (SELECT {part worker_facts} AS facts) AS f
    LEFT JOIN (
        SELECT e.number, e.facts FROM {events} AS e WHERE e.record = NEW.id ORDER BY e.number DESC LIMIT 1
    ) AS l ON true
    WHERE f.facts IS NOT l.facts;
END;

CREATE TRIGGER {name log_worker_deleted} AFTER DELETE ON {workers} BEGIN
    INSERT INTO {events} (record, number, kind, name, at, facts)
    SELECT OLD.id, (SELECT COALESCE(max(e.number), 0) + 1 FROM {events} AS e WHERE e.record = OLD.id),
        'worker', 'deleted', {event_now}, NULL;
END;

CREATE TRIGGER {name log_queue_inserted} AFTER INSERT ON {queues} BEGIN
    INSERT INTO {events} (record, number, kind, name, at, facts)
    SELECT NEW.name, (SELECT COALESCE(max(e.number), 0) + 1 FROM {events} AS e WHERE e.record = NEW.name),
        'queue', 'inserted', {event_now}, {part queue_facts};
END;

CREATE TRIGGER {name log_queue_changed} AFTER UPDATE ON {queues} BEGIN
    INSERT INTO {events} (record, number, kind, name, at, facts)
    SELECT NEW.name, COALESCE(l.number, 0) + 1, 'queue', {part queue_happening}, {event_now}, f.facts
    FROM (SELECT {part queue_facts} AS facts) AS f
    LEFT JOIN (
        SELECT e.number, e.facts FROM {events} AS e WHERE e.record = NEW.name ORDER BY e.number DESC LIMIT 1
    ) AS l ON true
    WHERE f.facts IS NOT l.facts;
END;

CREATE TRIGGER {name log_queue_deleted} AFTER DELETE ON {queues} BEGIN
    INSERT INTO {events} (record, number, kind, name, at, facts)
    SELECT OLD.name, (SELECT COALESCE(max(e.number), 0) + 1 FROM {events} AS e WHERE e.record = OLD.name),
        'queue', 'deleted', {event_now}, NULL;
END;

{part found_records};
