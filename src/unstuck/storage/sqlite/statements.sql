-- What SQLite says differently.

-- name: has_table
-- The catalogue of SQLite.
SELECT c.name FROM sqlite_master AS c WHERE c.type = 'table' AND c.name {one of :names text}

-- name: check
-- Facts for `doctor`, as pragmas say them.
SELECT 'version', sqlite_version()
UNION ALL
SELECT 'page_size', CAST(page_size AS text) FROM pragma_page_size
UNION ALL
SELECT 'page_count', CAST(page_count AS text) FROM pragma_page_count
UNION ALL
SELECT 'freelist_count', CAST(freelist_count AS text) FROM pragma_freelist_count
UNION ALL
SELECT 'journal_mode', journal_mode FROM pragma_journal_mode
UNION ALL
SELECT 'synchronous', CAST(synchronous AS text) FROM pragma_synchronous
UNION ALL
SELECT 'wal_bytes', CAST(unstuck_wal_bytes() AS text)

-- name: holders
-- One connection that keeps reading keeps the write-ahead log from being begun anew: it can only grow.
SELECT 'reader', unstuck_wal_readers(), CAST(NULL AS integer), unstuck_wal_bytes()
WHERE unstuck_wal_bytes() > :bytes

-- name: structure
-- Which of these indexes and constraints are there.
SELECT 'index', c.name, 1 FROM sqlite_master AS c WHERE c.type = 'index' AND c.name {one of :indexes text}
UNION ALL
SELECT 'constraint', n.value, 1 FROM json_each(:constraints) AS n
WHERE EXISTS (
    SELECT 1 FROM sqlite_master AS c
    WHERE c.type = 'table' AND instr(c.sql, 'CONSTRAINT ' || n.value || ' ') > 0
)

-- name: sizes
-- Pages belong to the file, not to a table that could be asked cheaply; nothing dies here.
SELECT 'file', p.page_count * s.page_size, CAST(NULL AS integer), CAST(NULL AS integer), CAST(NULL AS integer)
FROM pragma_page_count AS p, pragma_page_size AS s

-- name: integrity
-- What is wrong with the pages of the file: every one of them is read.
SELECT q.quick_check FROM pragma_quick_check AS q WHERE q.quick_check <> 'ok'
