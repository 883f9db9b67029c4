-- What was repaired by hand, written beside each repair; and who paused a queue.

CREATE TABLE {audit} (
    id uuid NOT NULL PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    cause text COLLATE "C" NOT NULL,
    sentence text NOT NULL
);

ALTER TABLE {queues} ADD COLUMN paused_by text;
