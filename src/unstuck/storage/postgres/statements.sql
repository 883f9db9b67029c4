-- What PostgreSQL says differently.

-- name: lock_migrations
-- BEGIN does not exclude other writers here: one advisory lock, given back with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('{name migrations}', 0))

-- name: has_table
-- The catalogue of PostgreSQL, as the search path finds tables.
SELECT c.relname::text FROM pg_catalog.pg_class AS c
WHERE c.relkind IN ('r', 'p') AND pg_catalog.pg_table_is_visible(c.oid) AND c.relname {one of :names text}

-- name: check
-- Facts for `doctor`, as the server says them.
SELECT 'version', current_setting('server_version')
UNION ALL
SELECT 'read_only', CAST(pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS text)
UNION ALL
SELECT 'fsync', current_setting('fsync')
UNION ALL
SELECT 'full_page_writes', current_setting('full_page_writes')
UNION ALL
SELECT 'synchronous_commit', current_setting('synchronous_commit')
UNION ALL
SELECT 'autovacuum', current_setting('autovacuum')
UNION ALL
SELECT 'size', CAST(sum(pg_total_relation_size(c.oid)) AS text)
FROM pg_catalog.pg_class AS c
WHERE c.relkind = 'r' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relname {one of :names text}

-- name: holders
-- Who keeps dead rows from being removed, or the log from being recycled, for longer or more than that.
SELECT 'session', a.pid || ' (' || COALESCE(NULLIF(a.application_name, ''), a.usename::text, 'unknown') || ')',
    extract(epoch FROM {now} - a.xact_start)::bigint, CAST(NULL AS bigint)
FROM pg_catalog.pg_stat_activity AS a
WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
    AND a.datname = current_database()
    AND a.pid <> pg_backend_pid()
    AND a.backend_type <> 'autovacuum worker'
    AND a.xact_start < {after -:older_us}
UNION ALL
SELECT 'prepared', x.gid, extract(epoch FROM {now} - x.prepared)::bigint, CAST(NULL AS bigint)
FROM pg_catalog.pg_prepared_xacts AS x
WHERE x.database = current_database() AND x.prepared < {after -:older_us}
UNION ALL
SELECT 'slot', s.slot_name::text || CASE WHEN s.active THEN '' ELSE ' (nobody reads it)' END, CAST(NULL AS bigint), r.bytes
FROM pg_catalog.pg_replication_slots AS s
CROSS JOIN LATERAL (
    SELECT pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
        s.restart_lsn
    )::bigint AS bytes
) AS r
WHERE r.bytes > :bytes OR age(s.xmin) > :transactions OR age(s.catalog_xmin) > :transactions
UNION ALL
SELECT 'standby', COALESCE(NULLIF(b.application_name, ''), b.client_addr::text, 'unknown'), CAST(NULL AS bigint), CAST(NULL AS bigint)
FROM pg_catalog.pg_stat_replication AS b
WHERE age(b.backend_xmin) > :transactions

-- name: structure
-- Which of these indexes and constraints are there, and whether the server relies on them.
SELECT 'index', c.relname::text, i.indisvalid
FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
WHERE pg_catalog.pg_table_is_visible(i.indrelid) AND c.relname {one of :indexes text}
UNION ALL
SELECT 'constraint', k.conname::text, k.convalidated
FROM pg_catalog.pg_constraint AS k
WHERE pg_catalog.pg_table_is_visible(k.conrelid) AND k.conname {one of :constraints text}

-- name: sizes
-- How large the tables are, how many of their rows are dead, and when they were last vacuumed.
SELECT c.relname::text, pg_total_relation_size(c.oid), COALESCE(s.n_live_tup, 0), COALESCE(s.n_dead_tup, 0),
    extract(epoch FROM {now} - GREATEST(s.last_vacuum, s.last_autovacuum, (SELECT max(g.applied_at) FROM {migrations} AS g)))::bigint
FROM pg_catalog.pg_class AS c LEFT JOIN pg_catalog.pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relkind = 'r' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relname {one of :names text}

-- name: integrity
-- Checksums and pages are the server's own business.
SELECT CAST(NULL AS text) WHERE false

-- part: line_columns
-- What a line about a job is written as.
record, number, kind, name, at, created_at, timeout_us, options, {part job_columns}

-- part: line_values
-- The facts of a job in that order; of its policy what differs from the default.
NEW.created_at, NEW.timeout_us,
CASE
    WHEN NEW.options <> '{}' THEN json_build_object(
        'tries', NEW.options::jsonb -> 'tries', 'crash_limit', NEW.options::jsonb -> 'crash_limit',
        'loss_limit', NEW.options::jsonb -> 'loss_limit'
    )::text
END,
NEW.state, NEW.reason, NEW.generation, NEW.fence, NEW.queue, NEW.task, NEW.priority, NEW.line, NEW.wake_at,
NEW.expires_at, NEW.claimed_at, NEW.finished_at, NEW.keep_until, NEW.failures, NEW.crashes, NEW.losses,
NEW.handbacks, NEW.snoozes, NEW.worker_id, NEW.verdict_id, NEW.cancel_asked_at

-- part: found_jobs
-- As columns too: the next line is what differs from this one.
INSERT INTO {events} (
    {part line_columns}
)
SELECT NEW.id::text,
    (SELECT COALESCE(max(e.number), 0) + 1 FROM {events} AS e WHERE e.record = NEW.id::text),
    'job', 'found', {event_now},
    {part line_values}
FROM {jobs} AS NEW

-- name: events
-- A page of the event log, record by record, each in its own order; what was written as columns becomes the document.
SELECT NEW.record, NEW.number, NEW.kind, NEW.name, {micros NEW.at},
    CASE WHEN NEW.state IS NULL THEN NEW.facts ELSE CAST({part job_facts} AS text) END
FROM {events} AS NEW
WHERE (NEW.record, NEW.number) > (:after_record, :after_number)
ORDER BY NEW.record, NEW.number
LIMIT :limit
