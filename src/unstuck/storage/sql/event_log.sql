-- What the event log says, once for every engine. The scripts that turn it on (`event_log_on.sql` beside each
-- engine) put these parts into triggers, so NEW and OLD are the row after and before the change.

-- part: job_columns
-- The columns of a job that are facts; what is not named here changes without a line.
state, reason, generation, fence, queue, task, priority, line, wake_at, expires_at, claimed_at, finished_at,
keep_until, failures, crashes, losses, handbacks, snoozes, worker_id, verdict_id, cancel_asked_at

-- part: job_facts
-- The facts of a job, and of its policy what differs from the default.
{document}(
    'state', NEW.state, 'reason', NEW.reason, 'generation', NEW.generation, 'fence', NEW.fence,
    'queue', NEW.queue, 'task', NEW.task, 'priority', NEW.priority, 'line', NEW.line,
    'wake_at', {micros NEW.wake_at}, 'expires_at', {micros NEW.expires_at},
    'created_at', {micros NEW.created_at}, 'claimed_at', {micros NEW.claimed_at},
    'finished_at', {micros NEW.finished_at}, 'keep_until', {micros NEW.keep_until},
    'failures', NEW.failures, 'crashes', NEW.crashes, 'losses', NEW.losses,
    'handbacks', NEW.handbacks, 'snoozes', NEW.snoozes,
    'worker_id', NEW.worker_id, 'verdict_id', NEW.verdict_id,
    'cancel_asked_at', {micros NEW.cancel_asked_at}, 'timeout_us', NEW.timeout_us,
    'tries', {number NEW.options tries}, 'crash_limit', {number NEW.options crash_limit},
    'loss_limit', {number NEW.options loss_limit}
)

-- part: job_happening
-- What an update of a job was.
CASE
    WHEN NEW.generation <> OLD.generation THEN 'revived'
    WHEN {differ NEW.verdict_id OLD.verdict_id} THEN 'settled'
    WHEN NEW.state = {state.running} AND OLD.state <> {state.running} THEN 'claimed'
    WHEN NEW.state = OLD.state AND (NEW.priority <> OLD.priority OR NEW.line <> OLD.line) THEN 'moved'
    WHEN NEW.state = {state.waiting} THEN 'parked'
    WHEN OLD.state = {state.waiting} AND NEW.state = {state.ready} THEN 'woken'
    WHEN OLD.state = {state.scheduled} AND NEW.state = {state.ready} THEN 'promoted'
    WHEN OLD.cancel_asked_at IS NULL AND NEW.cancel_asked_at IS NOT NULL THEN 'cancel_asked'
    WHEN NEW.state = OLD.state AND {differ NEW.keep_until OLD.keep_until} THEN 'forgotten'
    ELSE 'changed'
END

-- part: worker_columns
-- The columns of a worker that are facts: not its lease and its report, which every renewal writes.
kind, supervisor_id, host, pid, lease_us, started_at, ended_at, reason, draining_at, leaving_at, stalled_at

-- part: worker_facts
-- The facts of a worker.
{document}(
    'kind', NEW.kind, 'supervisor_id', NEW.supervisor_id, 'host', NEW.host, 'pid', NEW.pid,
    'lease_us', NEW.lease_us, 'started_at', {micros NEW.started_at}, 'ended_at', {micros NEW.ended_at},
    'reason', NEW.reason, 'draining_at', {micros NEW.draining_at}, 'leaving_at', {micros NEW.leaving_at},
    'stalled_at', {micros NEW.stalled_at}
)

-- part: worker_happening
-- What an update of a worker was.
CASE
    WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL THEN 'ended'
    WHEN {differ NEW.ended_at OLD.ended_at} THEN 'changed'
    WHEN OLD.leaving_at IS NULL AND NEW.leaving_at IS NOT NULL THEN 'leaving'
    WHEN OLD.draining_at IS NULL AND NEW.draining_at IS NOT NULL THEN 'draining'
    WHEN OLD.stalled_at IS NULL AND NEW.stalled_at IS NOT NULL THEN 'stalled'
    WHEN OLD.stalled_at IS NOT NULL AND NEW.stalled_at IS NULL THEN 'ticking'
    ELSE 'changed'
END

-- part: queue_facts
-- The facts of a queue.
{document}('step_us', NEW.step_us, 'paused_at', {micros NEW.paused_at})

-- part: queue_happening
-- What an update of a queue was.
CASE
    WHEN OLD.paused_at IS NULL AND NEW.paused_at IS NOT NULL THEN 'paused'
    WHEN OLD.paused_at IS NOT NULL AND NEW.paused_at IS NULL THEN 'resumed'
    ELSE 'changed'
END

-- part: found_jobs
-- The jobs that are there when the log is turned on: their first line, or the first after a gap.
INSERT INTO {events} (record, number, kind, name, at, facts)
SELECT CAST(NEW.id AS text),
    (SELECT COALESCE(max(e.number), 0) + 1 FROM {events} AS e WHERE e.record = CAST(NEW.id AS text)),
    'job', 'found', {event_now}, CAST({part job_facts} AS text)
FROM {jobs} AS NEW

-- part: found_records
-- The same of every kind of record.
{part found_jobs};

INSERT INTO {events} (record, number, kind, name, at, facts)
SELECT CAST(NEW.id AS text),
    (SELECT COALESCE(max(e.number), 0) + 1 FROM {events} AS e WHERE e.record = CAST(NEW.id AS text)),
    'worker', 'found', {event_now}, CAST({part worker_facts} AS text)
FROM {workers} AS NEW;

INSERT INTO {events} (record, number, kind, name, at, facts)
SELECT NEW.name,
    (SELECT COALESCE(max(e.number), 0) + 1 FROM {events} AS e WHERE e.record = NEW.name),
    'queue', 'found', {event_now}, CAST({part queue_facts} AS text)
FROM {queues} AS NEW

-- name: events
-- A page of the event log, record by record, each in its own order.
SELECT e.record, e.number, e.kind, e.name, {micros e.at}, e.facts FROM {events} AS e
WHERE (e.record, e.number) > (:after_record, :after_number)
ORDER BY e.record, e.number
LIMIT :limit

-- name: event_log
-- Which text of the event log's triggers is in force; no row where it was never turned on.
SELECT m.value FROM {meta} AS m WHERE m.name = 'event_log'

-- name: put_event_log
-- Note the text that is in force.
INSERT INTO {meta} (name, value) VALUES ('event_log', :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
