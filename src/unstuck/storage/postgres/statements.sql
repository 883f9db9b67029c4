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
UNION ALL
SELECT 'oldest_snapshot_seconds', CAST(COALESCE(max(extract(epoch FROM {now} - a.xact_start)), 0)::bigint AS text)
FROM pg_catalog.pg_stat_activity AS a
WHERE a.backend_xmin IS NOT NULL AND a.datname = current_database() AND a.pid <> pg_backend_pid()
