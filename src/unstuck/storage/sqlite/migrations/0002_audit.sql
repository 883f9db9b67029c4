-- What was repaired by hand, written beside each repair; and who paused a queue.

CREATE TABLE {audit} (
    id TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    cause TEXT NOT NULL,
    sentence TEXT NOT NULL
) WITHOUT ROWID;

ALTER TABLE {queues} ADD COLUMN paused_by TEXT;
