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
SELECT 'quick_check', quick_check FROM pragma_quick_check
