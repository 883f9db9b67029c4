-- Every statement of the promises, once. `storage/sql/library.py` says how blocks and braces are read.
-- long: one text for all promises, so that what an engine says differently stands alone in its own file.
-- Order of locks inside a transaction: worker, jobs in order of id, attempts, logs, notices.
-- Where the first few are sought along an index of alarms, what else is asked of them stands inside a CASE: a planner
-- that takes it for rare (and without statistics takes any equation for rare) fetches and sorts whatever is due.

-- part: job
-- The whole row of a job, as rows.job reads it.
j.id, j.generation, j.queue, j.task, j.state, j.reason, j.priority, j.line,
{micros j.wake_at}, {micros j.expires_at}, {micros j.created_at}, {micros j.claimed_at},
{micros j.finished_at}, {micros j.keep_until},
j.fence, j.failures, j.crashes, j.losses, j.handbacks, j.snoozes,
j.worker_id, j.verdict_id, {micros j.cancel_asked_at}, j.timeout_us,
j.args, j.result, j.error, j.codec, j.options, j.labels, j.progress, j.has_effects

-- part: claimed
-- What a worker gets with its claim, as rows.claimed reads it; without an alias, which SQLite's RETURNING refuses.
id, fence, generation, queue, task, line, args, codec, timeout_us,
failures, crashes, losses, snoozes, options

-- part: worker
-- A worker's row with what is counted from other rows, as rows.worker reads it.
w.id, w.kind, w.supervisor_id, w.host, w.pid, w.lease_us, {micros w.lease_until},
CASE WHEN w.ended_at IS NULL THEN {until w.lease_until} END,
{micros w.started_at}, {micros w.ended_at}, w.reason, {micros w.draining_at}, {micros w.leaving_at}, {micros w.stalled_at},
w.queues, w.version, w.report,
(SELECT count(*) FROM {attempts} AS a WHERE a.worker_id = w.id AND a.late_at IS NOT NULL),
(SELECT count(*) FROM {jobs} AS r WHERE r.worker_id = w.id)

-- part: lapsed
-- The lease is over, and was already at the moment of this clock that the caller has seen.
w.lease_until < {now} AND {micros w.lease_until} < CAST(:seen_us AS bigint)

-- part: matching
-- A filter: every part of it that is not null narrows.
j.state {one of :states text}
AND ({null :queue text} OR j.queue = :queue)
AND ({null :task text} OR j.task = :task)
AND ({null :reason text} OR j.reason = :reason)
AND ({null :worker_id uuid} OR j.worker_id = :worker_id)
AND ({null :label text} OR {label j.labels :label} = :label_value)

-- part: wanted
-- Job r is of these tasks and has not expired. Inside a CASE, because statistics know which tasks are rare: to find the first of
-- them, the whole table would be fetched and sorted rather than the queue walked. What keeps a walk short is its end.
CASE WHEN r.task {one of :tasks text} AND (r.expires_at IS NULL OR r.expires_at > {now}) THEN true ELSE false END

-- part: in_order
-- True of every line. Of a queue that no statistics tell of the server expects a few rows, and to fetch and sort those seems cheaper
-- by a hundredth than to walk the index in its order; with a bound that all of them keep it expects fewer, and walks.
r.line > -9223372036854775807

-- part: step
-- The head start of one step of priority in the queue of job j.
COALESCE((SELECT q.step_us FROM {queues} AS q WHERE q.name = j.queue), {default.step_us})

-- part: living_tasks
-- The tasks that at least one living worker knows.
SELECT t.task FROM {worker_tasks} AS t JOIN {workers} AS w ON w.id = t.worker_id WHERE w.ended_at IS NULL

-- name: clock
-- The store's now in microseconds.
SELECT {now_us}

-- name: insert
-- Insert the jobs that are not there yet; line and first alarm follow from the store's now.
INSERT INTO {jobs} (
    id, queue, task, state, priority, line, wake_at, expires_at, created_at,
    timeout_us, args, codec, options, labels
)
SELECT
    d.job_id, d.queue, d.task,
    CASE WHEN d.due > {now} THEN {state.scheduled} ELSE {state.ready} END,
    d.priority,
    {micros d.due} - d.priority * COALESCE(q.step_us, {default.step_us}),
    CASE WHEN d.due > {now} AND (d.expires IS NULL OR d.due < d.expires) THEN d.due ELSE d.expires END,
    d.expires, {now}, d.timeout_us, d.args, d.codec, d.options, d.labels
FROM (
    SELECT
        v.job_id, v.queue, v.task, v.priority, v.timeout_us, v.args, v.codec, v.options, v.labels,
        CASE
            WHEN v.due_at > {now} THEN v.due_at
            WHEN v.due_at IS NULL AND v.delay_us > 0 THEN {after v.delay_us}
            ELSE {now}
        END AS due,
        {after v.expires_in_us} AS expires
    FROM {rows v: job_id uuid, queue text, task text, priority smallint, delay_us bigint,
        due_at moment, expires_in_us bigint, timeout_us bigint, args text, codec smallint,
        options text, labels text}
) AS d
LEFT JOIN {queues} AS q ON q.name = d.queue
WHERE true
ON CONFLICT (id) DO NOTHING
RETURNING CAST(id AS text)

-- name: insert_one
-- Insert one job that is due now and has no head start, if it is not there: its line is the store's now.
INSERT INTO {jobs} (
    id, queue, task, state, priority, line, created_at, timeout_us, args, codec, options, labels
)
VALUES (
    :job_id, :queue, :task, {state.ready}, 0, {now_us}, {now}, :timeout_us, :args, :codec, :options, :labels
)
ON CONFLICT (id) DO NOTHING
RETURNING 1

-- name: insert_alike
-- Insert jobs that are not there yet, due now and without a head start, which differ in id and arguments only.
INSERT INTO {jobs} (
    id, queue, task, state, priority, line, created_at, timeout_us, args, codec, options, labels
)
SELECT
    v.job_id, :queue, :task, {state.ready}, 0, {now_us}, {now}, CAST(:timeout_us AS bigint), v.args,
    CAST(:codec AS smallint), :options, :labels
FROM {many v: job_id uuid, args text}
WHERE true
ON CONFLICT (id) DO NOTHING
RETURNING CAST(id AS text)

-- name: compare
-- Task and arguments of jobs that an insert found in its place.
SELECT j.id, j.task, j.args FROM {jobs} AS j WHERE j.id {one of :ids uuid}

-- name: claim
-- Take the first ready jobs in line, if the worker lives; walks the claim's index from where the last claim ended to an end that
-- the caller chose.
UPDATE {jobs} AS j SET
    state = :target,
    reason = NULL,
    fence = j.fence + 1,
    worker_id = :worker_id,
    claimed_at = {now},
    wake_at = {after j.timeout_us}
WHERE j.{row} {among}
    SELECT r.{row} FROM {jobs} AS r
    WHERE r.queue = :queue
        AND r.state = {state.ready}
        AND (r.line, r.id) > (:line, :after_id)
        AND (r.line, r.id) <= (:until_line, :until_id)
        AND {part wanted}
        AND EXISTS (
            SELECT 1 FROM {workers} AS w
            WHERE w.id = :worker_id AND w.ended_at IS NULL AND w.draining_at IS NULL AND w.lease_until > {now}
        )
        AND NOT EXISTS (SELECT 1 FROM {queues} AS q WHERE q.name = :queue AND q.paused_at IS NOT NULL)
    ORDER BY r.line, r.id
    LIMIT :limit
    {skip_locked r}
{/among}
RETURNING {part claimed}

-- name: reach
-- The place in line of one that is ready, so many behind this one.
SELECT r.line, CAST(r.id AS text) FROM {jobs} AS r
WHERE r.queue = :queue AND r.state = {state.ready} AND (r.line, r.id) > (:line, :after_id)
ORDER BY r.line, r.id
LIMIT 1 OFFSET :skipped

-- name: settle
-- Record endings, each guarded by fence and source state, and none twice; who was asked to cancel takes no other end.
-- A job that never ran has one fence for all its lives: only that it still expires says that it is the one that did.
UPDATE {jobs} AS j SET
    state = v.target,
    reason = v.reason,
    worker_id = NULL,
    verdict_id = v.said_id,
    wake_at = CASE
        WHEN v.is_final THEN NULL
        WHEN v.delay_us IS NULL THEN CASE WHEN v.started THEN NULL ELSE j.expires_at END
        WHEN NOT v.started AND j.expires_at < {after v.delay_us} THEN j.expires_at
        ELSE {after v.delay_us}
    END,
    expires_at = CASE WHEN v.started AND NOT v.is_final THEN NULL ELSE j.expires_at END,
    finished_at = CASE WHEN v.is_final THEN {now} END,
    keep_until = CASE WHEN v.is_final THEN {after v.keep_us} END,
    failures = j.failures + v.failures,
    crashes = j.crashes + v.crashes,
    losses = j.losses + v.losses,
    handbacks = j.handbacks + v.handbacks,
    snoozes = CASE WHEN v.snoozes IS NULL THEN 0 ELSE j.snoozes + v.snoozes END,
    result = v.result,
    error = CASE WHEN v.keeps_error THEN j.error ELSE v.error END
FROM {rows v: job_id uuid, job_fence bigint, source text, target text, reason text, said_id uuid,
    is_final boolean, is_cancel boolean, is_expiry boolean, started boolean, keeps_error boolean,
    delay_us bigint, keep_us bigint, failures int, crashes int, losses int, handbacks int, snoozes int,
    result text, error text}
WHERE j.id = v.job_id
    AND j.fence = v.job_fence
    AND j.state = v.source
    AND (j.cancel_asked_at IS NULL OR v.is_cancel)
    AND (j.expires_at IS NOT NULL OR NOT v.is_expiry)
    AND (j.verdict_id IS NULL OR j.verdict_id <> v.said_id)
RETURNING id, verdict_id

-- name: settle_successes
-- The same for endings that are nothing but successes kept for the same time: what they share is said once. The state
-- stands inside a CASE: statistics from before anything ran say that nothing does, and the rows of a small table would
-- then be walked over once for each ending.
UPDATE {jobs} AS j SET
    state = :target,
    reason = NULL,
    verdict_id = v.said_id,
    worker_id = NULL,
    wake_at = NULL,
    finished_at = {now},
    keep_until = {after :keep_us},
    result = v.result,
    error = NULL
FROM {many v: job_id uuid, job_fence bigint, said_id uuid, result text}
WHERE j.id = v.job_id AND j.fence = v.job_fence AND CASE WHEN j.state = :source THEN true ELSE false END
    AND j.cancel_asked_at IS NULL
    AND (j.verdict_id <> v.said_id OR j.verdict_id IS NULL)
RETURNING verdict_id

-- name: judged
-- What the rows say that a settle did not move; locked, so that what follows is judged by what is true.
SELECT j.id, j.fence, j.state, j.verdict_id, j.cancel_asked_at IS NOT NULL, j.options, j.expires_at IS NOT NULL
FROM {jobs} AS j
WHERE j.id {one of :ids uuid}
ORDER BY j.id
{for_update j}

-- name: write_attempts
-- The rows of attempts that did not simply succeed, in the transaction of their endings.
INSERT INTO {attempts} (
    job_id, fence, verdict_id, attempt, worker_id, started_at, ended_at, outcome, reason, error, detail
)
SELECT v.job_id, v.job_fence, v.said_id, v.attempt, v.owner_id, j.claimed_at, {now}, v.outcome, v.reason,
    v.error, v.detail
FROM {rows v: job_id uuid, job_fence bigint, said_id uuid, attempt int, owner_id uuid, outcome text, reason text,
    error text, detail text}
JOIN {jobs} AS j ON j.id = v.job_id
WHERE true
ON CONFLICT (job_id, fence) DO NOTHING

-- name: recorded
-- Which of these verdicts ended their attempt, whatever became of the job since.
SELECT a.verdict_id
FROM {rows v: job_id uuid, job_fence bigint, said_id uuid}
JOIN {attempts} AS a ON a.job_id = v.job_id AND a.fence = v.job_fence
WHERE a.verdict_id = v.said_id

-- name: stamp_late
-- Note on its attempt that an ending came too late, and what it wanted.
UPDATE {attempts} AS a SET late_at = {now}, late_wanted = v.wanted
FROM {rows v: job_id uuid, job_fence bigint, wanted text}
WHERE a.job_id = v.job_id AND a.fence = v.job_fence

-- name: write_progress
-- The last progress of attempts that still run under their fence.
UPDATE {jobs} AS j SET progress = v.progress
FROM {rows v: job_id uuid, job_fence bigint, progress text}
WHERE j.id = v.job_id AND j.fence = v.job_fence AND j.state = :source
RETURNING id

-- name: write_logs
-- Log lines that are not there yet, of jobs that are.
INSERT INTO {job_logs} (job_id, fence, number, at, text)
SELECT v.job_id, v.job_fence, v.number, {now}, v.line_text
FROM {rows v: job_id uuid, job_fence bigint, number int, line_text text}
JOIN {jobs} AS j ON j.id = v.job_id
WHERE true
ON CONFLICT (job_id, fence, number) DO NOTHING

-- name: look
-- Everything a worker asks once per poll. The next alarm is sought among the first 200; behind those it is a bound.
SELECT 'now' AS kind, CAST(NULL AS text) AS name, {now_us} AS number
UNION ALL
SELECT 'worker', CAST(NULL AS text),
    CASE WHEN w.draining_at IS NULL THEN 0 ELSE 1 END + CASE WHEN w.ended_at IS NULL THEN 0 ELSE 2 END
        + CASE WHEN w.leaving_at IS NULL THEN 0 ELSE 4 END
FROM {workers} AS w WHERE w.id = :worker_id
UNION ALL
SELECT 'queue', c.value, (
    SELECT r.line FROM {jobs} AS r
    WHERE r.queue = c.value
        AND r.state = {state.ready}
        AND {part in_order}
        AND {part wanted}
    ORDER BY r.line, r.id
    LIMIT 1
)
FROM {each c: :queues text}
WHERE NOT EXISTS (SELECT 1 FROM {queues} AS q WHERE q.name = c.value AND q.paused_at IS NOT NULL)
UNION ALL
SELECT 'alarm', CAST(NULL AS text), {until n.alarm}
FROM (
    SELECT COALESCE(
        min(CASE WHEN a.state = {state.scheduled} THEN a.wake_at END),
        CASE WHEN count(*) = 200 THEN max(a.wake_at) END
    ) AS alarm
    FROM (
        SELECT r.wake_at, r.state FROM {jobs} AS r WHERE r.wake_at IS NOT NULL ORDER BY r.wake_at LIMIT 200
    ) AS a
) AS n
UNION ALL
SELECT 'cancel', CAST(r.id AS text), r.fence
FROM {jobs} AS r WHERE r.worker_id = :worker_id AND r.cancel_asked_at IS NOT NULL

-- name: glance
-- The same from where a worker has looked lately. Whom to cancel stands among the alarms, which asking sets to now.
SELECT 'now' AS kind, CAST(NULL AS text) AS name, {now_us} AS number
UNION ALL
SELECT 'worker', CAST(NULL AS text),
    CASE WHEN w.draining_at IS NULL THEN 0 ELSE 1 END + CASE WHEN w.ended_at IS NULL THEN 0 ELSE 2 END
        + CASE WHEN w.leaving_at IS NULL THEN 0 ELSE 4 END
FROM {workers} AS w WHERE w.id = :worker_id
UNION ALL
SELECT 'queue', c.value, (
    SELECT r.line FROM {jobs} AS r
    WHERE r.queue = c.value
        AND r.state = {state.ready}
        AND r.line >= c.line
        AND {part wanted}
    ORDER BY r.line, r.id
    LIMIT 1
)
FROM {pairs c: :queues text, :lines bigint line}
WHERE NOT EXISTS (SELECT 1 FROM {queues} AS q WHERE q.name = c.value AND q.paused_at IS NOT NULL)
UNION ALL
SELECT 'alarm', CAST(NULL AS text), {until n.alarm}
FROM (
    SELECT COALESCE(
        min(CASE WHEN a.state = {state.scheduled} THEN a.wake_at END),
        CASE WHEN count(*) = 200 THEN max(a.wake_at) END
    ) AS alarm
    FROM (
        SELECT r.wake_at, r.state FROM {jobs} AS r WHERE r.wake_at >= {after -:age_us} ORDER BY r.wake_at LIMIT 200
    ) AS a
) AS n
UNION ALL
SELECT 'cancel', CAST(r.id AS text), r.fence
FROM {jobs} AS r
WHERE r.wake_at >= {after -:age_us} AND r.wake_at <= {now}
    AND CASE WHEN r.worker_id = :worker_id AND r.cancel_asked_at IS NOT NULL THEN true ELSE false END

-- name: promote
-- Scheduled jobs that are due become ready, those due first first; the expired are left to their end.
UPDATE {jobs} AS j SET state = :target, wake_at = j.expires_at
WHERE j.id {among}
    SELECT r.id FROM {jobs} AS r
    WHERE r.wake_at <= {now}
        AND CASE WHEN r.state = :source AND (r.expires_at IS NULL OR r.expires_at > {now}) THEN true ELSE false END
    ORDER BY r.wake_at
    LIMIT :limit
    {skip_locked r}
{/among}
RETURNING queue, line

-- name: promote_late
-- The same for those that have become due lately: among the first alarms of that time. Not a stretch between two
-- moments, which without good statistics is taken for a few rows, fetched and sorted.
UPDATE {jobs} AS j SET wake_at = j.expires_at, state = :target
WHERE j.{row} {among}
    SELECT r.{row} FROM {jobs} AS r
    WHERE r.{row} {among}
        SELECT a.place FROM (
            SELECT f.{row} AS place, f.wake_at FROM {jobs} AS f
            WHERE f.wake_at >= {after -:age_us}
            ORDER BY f.wake_at
            LIMIT :limit
        ) AS a
        WHERE a.wake_at <= {now}
    {/among}
        AND r.wake_at <= {now}
        AND CASE WHEN (r.expires_at IS NULL OR r.expires_at > {now}) AND r.state = :source THEN true ELSE false END
    {skip_locked r}
{/among}
RETURNING queue, line

-- name: expired
-- Jobs not started by their expiry, found by their alarm.
SELECT {part job} FROM {jobs} AS j
WHERE j.wake_at <= {now}
    AND CASE WHEN j.expires_at <= {now} AND j.state {one of :sources text} THEN true ELSE false END
ORDER BY j.wake_at
LIMIT :limit

-- name: register
-- A worker's row with a full lease.
INSERT INTO {workers} (
    id, kind, supervisor_id, host, pid, lease_us, lease_until, started_at, queues, version, report
)
SELECT v.worker_id, v.kind, v.supervisor_id, v.host, v.pid, v.lease_us, {after v.lease_us}, {now},
    v.queues, v.version, '{}'
FROM {rows v: worker_id uuid, kind text, supervisor_id uuid, host text, pid bigint, lease_us bigint,
    queues text, version text}
WHERE true
ON CONFLICT (id) DO NOTHING
RETURNING {now_us}

-- name: register_tasks
-- The names of the tasks that a worker knows.
INSERT INTO {worker_tasks} (worker_id, task)
SELECT v.worker_id, v.task FROM {rows v: worker_id uuid, task text}
WHERE true
ON CONFLICT (worker_id, task) DO NOTHING

-- name: waiting_for
-- Among the first alarms: jobs that wait for a worker that knows one of these tasks.
SELECT j.id, j.fence, j.state
FROM (
    SELECT r.id, r.fence, r.state, r.reason, r.task FROM {jobs} AS r
    WHERE r.wake_at <= {after :longest_us} ORDER BY r.wake_at LIMIT :front
) AS j
WHERE j.state = :source AND j.reason = :reason AND j.task {one of :tasks text}
LIMIT :limit

-- name: renew
-- Extend the leases of workers that have not ended.
UPDATE {workers} AS w SET lease_until = {after :lease_us}, report = COALESCE(v.report, w.report)
FROM {rows v: worker_id uuid, report text}
WHERE w.id = v.worker_id AND w.ended_at IS NULL
RETURNING id, {now_us}

-- name: end_worker
-- End one worker, once.
UPDATE {workers} AS w SET ended_at = {now}, reason = :reason
WHERE w.id = :worker_id AND w.ended_at IS NULL
RETURNING id

-- name: end_lapsed
-- End workers whose lease is over, and pull in leases that reach further than their own length.
UPDATE {workers} AS w SET
    ended_at = CASE WHEN {part lapsed} THEN {now} END,
    reason = CASE WHEN {part lapsed} THEN :reason ELSE w.reason END,
    lease_until = CASE WHEN {part lapsed} THEN w.lease_until ELSE {after w.lease_us} END
WHERE w.ended_at IS NULL AND ({part lapsed} OR w.lease_until > {after w.lease_us})
RETURNING id, {micros ended_at}

-- name: drain
-- From this commit on the worker claims nothing; the first moments are kept.
UPDATE {workers} AS w SET
    draining_at = COALESCE(w.draining_at, {now}),
    leaving_at = CASE WHEN {true :leave} THEN COALESCE(w.leaving_at, {now}) ELSE w.leaving_at END
WHERE w.id = :worker_id AND w.ended_at IS NULL
RETURNING id

-- name: mark_stalled
-- Since when the worker's child does not tick, or that it ticks again.
UPDATE {workers} AS w SET stalled_at = CASE WHEN {true :is_stalled} THEN COALESCE(w.stalled_at, {now}) END
WHERE w.id = :worker_id AND w.ended_at IS NULL
RETURNING id

-- name: workers
-- The workers, living ones first, newest first.
SELECT {part worker} FROM {workers} AS w
WHERE w.ended_at IS NULL OR {true :include_ended}
ORDER BY w.ended_at IS NOT NULL, w.started_at DESC, w.id DESC

-- name: workers_by_id
-- These workers, ended or not.
SELECT {part worker} FROM {workers} AS w WHERE w.id {one of :ids uuid}

-- name: owned
-- All running attempts of a worker.
SELECT {part claimed} FROM {jobs} AS j WHERE j.worker_id = :worker_id ORDER BY j.id

-- name: orphans
-- Running jobs of ended workers: visits the ended ones, never the running jobs of the living. Asked in order of
-- the index: without statistics, a limit alone makes the whole table look cheaper than it.
SELECT {part claimed}, j.worker_id FROM {jobs} AS j
WHERE j.worker_id IS NOT NULL
    AND j.worker_id {among} SELECT w.id FROM {workers} AS w WHERE w.ended_at IS NOT NULL {/among}
ORDER BY j.worker_id
LIMIT :limit

-- name: orphans_of_nobody
-- Running jobs whose worker has no row: reads every running job, so it is asked seldom.
SELECT {part claimed}, j.worker_id FROM {jobs} AS j
WHERE j.worker_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {workers} AS w WHERE w.id = j.worker_id)
LIMIT :limit

-- name: signs
-- The store's now, and whether there is anything to rescue, to expire or to find a handler for. The first in the
-- order of an index, not EXISTS, which takes any row for the first and may read the whole table to see that there is none.
SELECT
    {now_us},
    (
        SELECT 1 FROM {jobs} AS j
        WHERE j.worker_id IS NOT NULL
            AND j.worker_id {among} SELECT w.id FROM {workers} AS w WHERE w.ended_at IS NOT NULL {/among}
        ORDER BY j.worker_id LIMIT 1
    ) IS NOT NULL,
    (
        SELECT 1 FROM {jobs} AS j
        WHERE j.wake_at <= {now}
            AND CASE WHEN j.expires_at <= {now} AND j.state {one of :sources text} THEN true ELSE false END
        ORDER BY j.wake_at LIMIT 1
    ) IS NOT NULL,
    (
        SELECT 1 FROM {jobs} AS j
        WHERE j.wake_at <= {now} AND CASE WHEN j.state = :unhandled AND j.reason = :reason THEN true ELSE false END
        ORDER BY j.wake_at LIMIT 1
    ) IS NOT NULL

-- name: ready_queues
-- The queues that have ready jobs, hopping through the claim's index from name to name.
WITH RECURSIVE names (queue) AS (
    SELECT (SELECT r.queue FROM {jobs} AS r WHERE r.state = {state.ready} ORDER BY r.queue LIMIT 1)
    UNION ALL
    SELECT (
        SELECT r.queue FROM {jobs} AS r
        WHERE r.state = {state.ready} AND r.queue > names.queue
        ORDER BY r.queue LIMIT 1
    )
    FROM names WHERE names.queue IS NOT NULL
)
SELECT n.queue, EXISTS (SELECT 1 FROM {queues} AS q WHERE q.name = n.queue AND q.paused_at IS NOT NULL)
FROM names AS n WHERE n.queue IS NOT NULL

-- name: head
-- The tasks that stand first in a queue, each with the age of its oldest job there.
SELECT j.task, max({now_us} - j.line - j.priority * {part step})
FROM (
    SELECT r.queue, r.task, r.line, r.priority FROM {jobs} AS r
    WHERE r.queue = :queue AND r.state = {state.ready} AND {part in_order}
        AND CASE WHEN r.expires_at IS NULL OR r.expires_at > {now} THEN true ELSE false END
    ORDER BY r.line, r.id
    LIMIT :front
) AS j
GROUP BY j.task

-- name: depth
-- How many jobs of a queue are ready, counted no further than that, and the age of the oldest at its front. One queue at a
-- time: asked for all at once, PostgreSQL expects so much work that it compiles the statement, which takes longer than the answer.
SELECT
    (
        SELECT count(*) FROM (
            SELECT r.id FROM {jobs} AS r
            WHERE r.queue = :queue AND r.state = {state.ready} AND {part in_order}
            ORDER BY r.line, r.id LIMIT :depth
        ) AS d
    ),
    (
        SELECT max({now_us} - j.line - j.priority * {part step}) FROM (
            SELECT r.queue, r.line, r.priority FROM {jobs} AS r
            WHERE r.queue = :queue AND r.state = {state.ready} AND {part in_order}
            ORDER BY r.line, r.id LIMIT :front
        ) AS j
    )

-- name: first_alarms
-- Among the first alarms: how many jobs stand in which state.
SELECT j.state, count(*)
FROM (SELECT r.state FROM {jobs} AS r WHERE r.wake_at IS NOT NULL ORDER BY r.wake_at LIMIT :front) AS j
GROUP BY j.state

-- name: newest
-- The newest jobs: how old they are, and how long those waited whose first attempt was claimed just now.
SELECT j.id, 0 - {until j.created_at}, {part waited}
FROM (SELECT r.* FROM {jobs} AS r WHERE r.id < :newest ORDER BY r.id DESC LIMIT :limit) AS j

-- name: at_work
-- Some of those that run: how long those waited whose first attempt was claimed just now.
SELECT j.id, {part waited}
FROM (SELECT r.* FROM {jobs} AS r WHERE r.worker_id IS NOT NULL ORDER BY r.worker_id LIMIT :limit) AS j

-- part: waited
-- From due to claim, of a first attempt that was claimed within the window.
CASE WHEN j.fence = 1 AND j.claimed_at > {after -:window_us}
    THEN {micros j.claimed_at} - j.line - j.priority * {part step}
END

-- name: gone
-- Workers that ended within the window, newest first.
SELECT {part worker} FROM {workers} AS w
WHERE w.ended_at > {after -:gone_us}
ORDER BY w.ended_at DESC, w.id DESC
LIMIT :limit

-- name: known_tasks
-- The tasks that living workers know.
SELECT DISTINCT k.task FROM ({part living_tasks}) AS k

-- name: knowing
-- Which living workers know these tasks.
SELECT t.task, t.worker_id FROM {worker_tasks} AS t
JOIN {workers} AS w ON w.id = t.worker_id
WHERE w.ended_at IS NULL AND t.task {one of :tasks text}

-- name: parked
-- Among the first alarms: jobs that wait because no living worker knew their task, by queue and task.
SELECT j.queue, j.task, count(*)
FROM (
    SELECT r.queue, r.task, r.state, r.reason FROM {jobs} AS r
    WHERE r.wake_at IS NOT NULL ORDER BY r.wake_at LIMIT :front
) AS j
WHERE j.state = :source AND j.reason = :reason
GROUP BY j.queue, j.task

-- name: overdue
-- Among the first alarms: scheduled jobs that have been due for longer, by queue, and for how long the first.
SELECT j.queue, count(*), max(0 - {until j.wake_at})
FROM (
    SELECT r.queue, r.wake_at, r.state FROM {jobs} AS r
    WHERE r.wake_at < {after -:older_us} ORDER BY r.wake_at LIMIT :front
) AS j
WHERE j.state = {state.scheduled}
GROUP BY j.queue

-- name: unhandled
-- Jobs at the front of a queue that no living worker knows, ready for longer than that.
SELECT {part job} FROM (
    SELECT r.* FROM {jobs} AS r
    WHERE r.queue = :queue AND r.state = {state.ready} AND {part in_order}
    ORDER BY r.line, r.id
    LIMIT :front
) AS j
WHERE j.task NOT IN ({part living_tasks})
    AND {now_us} - j.line - j.priority * {part step} > :older_us
ORDER BY j.line, j.id
LIMIT :limit

-- name: waiting_unhandled
-- Jobs without a handler whose alarm has passed, and whether a living worker knows their task now.
SELECT {part job}, j.task IN ({part living_tasks}) FROM {jobs} AS j
WHERE j.wake_at <= {now} AND CASE WHEN j.state = :source AND j.reason = :reason THEN true ELSE false END
ORDER BY j.wake_at
LIMIT :limit

-- name: move
-- Park or wake jobs that stand as they were read; an alarm never lies behind the expiry.
UPDATE {jobs} AS j SET
    state = v.target,
    reason = v.reason,
    wake_at = CASE
        WHEN v.delay_us IS NULL THEN j.expires_at
        WHEN j.expires_at < {after v.delay_us} THEN j.expires_at
        ELSE {after v.delay_us}
    END
FROM {rows v: job_id uuid, job_fence bigint, source text, target text, reason text, delay_us bigint}
WHERE j.id = v.job_id AND j.fence = v.job_fence AND j.state = v.source
RETURNING id

-- name: notices
-- All notices, oldest first.
SELECT n.kind, n.subject, n.sentence, {micros n.since}, {micros n.last_seen}
FROM {notices} AS n
ORDER BY n.since, n.kind, n.subject

-- name: notices_of
-- The notices of these kinds, held until they are made to fit.
SELECT n.kind, n.subject, n.sentence, {micros n.since}, {micros n.last_seen}
FROM {notices} AS n
WHERE n.kind {one of :kinds text}
ORDER BY n.kind, n.subject
{for_update n}

-- name: put_notices
-- Note what was found, or that it was found again.
INSERT INTO {notices} (kind, subject, sentence, since, last_seen)
SELECT v.kind, v.subject, v.sentence, {now}, {now} FROM {rows v: kind text, subject text, sentence text}
WHERE true
ON CONFLICT (kind, subject) DO UPDATE SET sentence = excluded.sentence, last_seen = excluded.last_seen
RETURNING kind, subject, sentence, {micros since}, {micros last_seen}

-- name: drop_notices
-- Take away notices whose cause has gone.
DELETE FROM {notices}
WHERE (kind, subject) IN (SELECT v.kind, v.subject FROM {rows v: kind text, subject text})

-- name: prune_jobs
-- Delete ended jobs that are kept no longer.
DELETE FROM {jobs}
WHERE id {among}
    SELECT r.id FROM {jobs} AS r WHERE r.keep_until <= {now} ORDER BY r.keep_until LIMIT :limit {skip_locked r}
{/among}
RETURNING id

-- name: prune_attempts
-- The attempts of deleted jobs.
DELETE FROM {attempts} WHERE job_id {one of :ids uuid}

-- name: prune_logs
-- The log lines of deleted jobs.
DELETE FROM {job_logs} WHERE job_id {one of :ids uuid}

-- name: prune_workers
-- Delete workers that ended long ago and own nothing.
DELETE FROM {workers}
WHERE id {among}
    SELECT w.id FROM {workers} AS w
    WHERE w.ended_at < {after :age_us} AND NOT EXISTS (SELECT 1 FROM {jobs} AS r WHERE r.worker_id = w.id)
    ORDER BY w.ended_at
    LIMIT :limit
    {skip_locked w}
{/among}
RETURNING id

-- name: prune_worker_tasks
-- The task names of deleted workers.
DELETE FROM {worker_tasks} WHERE worker_id {one of :ids uuid}

-- name: ask_cancel
-- Ask running jobs to cancel; the alarm is now, and the first asking is kept.
UPDATE {jobs} AS j SET cancel_asked_at = {now}, wake_at = {now}
WHERE j.id {one of :ids uuid} AND j.state = :source AND j.cancel_asked_at IS NULL
RETURNING id

-- name: revive
-- Ended jobs run again as a new generation; the fence goes on rising.
UPDATE {jobs} AS j SET
    state = :target,
    generation = j.generation + 1,
    reason = NULL,
    line = {now_us} - j.priority * {part step},
    wake_at = NULL, expires_at = NULL, claimed_at = NULL, finished_at = NULL, keep_until = NULL,
    failures = 0, crashes = 0, losses = 0, handbacks = 0, snoozes = 0,
    cancel_asked_at = NULL, result = NULL, error = NULL, progress = NULL
WHERE j.id {one of :ids uuid} AND j.state {one of :sources text}
RETURNING id

-- name: forget
-- Ended jobs are kept no longer; the next prune deletes them.
UPDATE {jobs} AS j SET keep_until = {now}
WHERE j.id {one of :ids uuid} AND j.state {one of :final text}
RETURNING id

-- name: set_priority
-- Change the priority of jobs that wait, and move them in line by the difference.
UPDATE {jobs} AS j SET priority = v.priority, line = j.line + (j.priority - v.priority) * {part step}
FROM {rows v: job_id uuid, priority smallint}
WHERE j.id = v.job_id AND j.state {one of :sources text}
RETURNING id

-- name: write_audit
-- What was repaired, in the transaction of the repair.
INSERT INTO {audit} (id, at, actor, action, kind, subject, cause, sentence)
SELECT v.entry_id, {now}, v.actor, v.action, v.kind, v.subject, v.cause, v.sentence
FROM {rows v: entry_id uuid, actor text, action text, kind text, subject text, cause text, sentence text}

-- name: audit
-- The newest repairs, newest first.
SELECT a.id, {micros a.at}, a.actor, a.action, a.kind, a.subject, a.cause, a.sentence
FROM {audit} AS a
ORDER BY a.at DESC, a.id DESC
LIMIT :limit

-- name: set_queue
-- Create a queue's row or change what is not null in it; the first moment of a pause is kept.
INSERT INTO {queues} AS q (name, step_us, paused_at, paused_by)
VALUES (
    :queue,
    COALESCE(CAST(:step_us AS bigint), {default.step_us}),
    CASE WHEN {true :paused} THEN {now} END,
    CASE WHEN {true :paused} THEN CAST(:actor AS text) END
)
ON CONFLICT (name) DO UPDATE SET
    step_us = CASE WHEN {null :step_us bigint} THEN q.step_us ELSE excluded.step_us END,
    paused_at = CASE
        WHEN {null :paused boolean} THEN q.paused_at
        WHEN excluded.paused_at IS NULL THEN NULL
        ELSE COALESCE(q.paused_at, excluded.paused_at)
    END,
    paused_by = CASE
        WHEN {null :paused boolean} OR (q.paused_at IS NOT NULL AND excluded.paused_at IS NOT NULL) THEN q.paused_by
        ELSE excluded.paused_by
    END

-- name: get
-- One job, whole.
SELECT {part job} FROM {jobs} AS j WHERE j.id = :job_id

-- name: ahead
-- How many jobs stand before this place in line, counted no further than anybody wants to know.
SELECT count(*) FROM (
    SELECT r.id FROM {jobs} AS r
    WHERE r.queue = :queue
        AND r.state = {state.ready}
        AND (r.line, r.id) < (:line, :job_id)
        AND (r.expires_at IS NULL OR r.expires_at > {now})
    ORDER BY r.line, r.id
    LIMIT :limit
) AS b

-- name: find
-- A page of jobs that match, in order of id.
SELECT {part job} FROM {jobs} AS j
WHERE {part matching} AND j.id > :after_id
ORDER BY j.id
LIMIT :limit

-- name: find_ids
-- The same among jobs named by id.
SELECT {part job} FROM {jobs} AS j
WHERE j.id {one of :ids uuid} AND {part matching} AND j.id > :after_id
ORDER BY j.id
LIMIT :limit

-- name: tally
-- How many jobs match, by queue and state.
SELECT j.queue, j.state, count(*) FROM {jobs} AS j WHERE {part matching} GROUP BY j.queue, j.state

-- name: tally_ids
-- The same among jobs named by id.
SELECT j.queue, j.state, count(*) FROM {jobs} AS j
WHERE j.id {one of :ids uuid} AND {part matching}
GROUP BY j.queue, j.state

-- name: attempts
-- The attempts of a job that did not simply succeed, oldest first.
SELECT a.job_id, a.fence, a.attempt, a.worker_id, {micros a.started_at}, {micros a.ended_at}, a.outcome,
    a.reason, a.error, a.detail, {micros a.late_at}, a.late_wanted,
    a.verdict_id
FROM {attempts} AS a
WHERE a.job_id = :job_id
ORDER BY a.fence

-- name: logs
-- The lines that a job's handlers wrote, oldest first.
SELECT l.job_id, l.fence, l.number, {micros l.at}, l.text
FROM {job_logs} AS l
WHERE l.job_id = :job_id
ORDER BY l.fence, l.number

-- name: queue_rows
-- The queues that have a row.
SELECT q.name, q.step_us, {micros q.paused_at}, q.paused_by FROM {queues} AS q

-- name: meta
-- The store's own facts.
SELECT m.name, m.value FROM {meta} AS m
UNION ALL
SELECT 'schema', CAST(max(g.number) AS text) FROM {migrations} AS g
UNION ALL
SELECT 'now_us', CAST({now_us} AS text)

-- name: inspect_jobs_end
-- The last id of a portion of the jobs, walking their primary key; nothing where the walk ends before.
SELECT j.id FROM {jobs} AS j WHERE j.id > :after ORDER BY j.id LIMIT 1 OFFSET :skip

-- part: ended
-- Whether job j has ended; spelled out, because a walk asks it of millions of rows.
j.state IN ({state.succeeded}, {state.failed}, {state.cancelled})

-- name: inspect_jobs
-- What rows of a portion break, as bits; the seventh only says that counts and options are to be compared.
SELECT x.id, x.broken, x.failures, x.crashes, x.losses, CASE WHEN x.broken & 64 <> 0 THEN x.options END
FROM (
    SELECT j.id, j.failures, j.crashes, j.losses, j.options,
        CASE WHEN
            {part ended}
            OR j.state = {state.ready}
            OR (j.state = {state.running} AND j.worker_id IS NOT NULL)
            OR (j.state IN ({state.scheduled}, {state.waiting}) AND j.wake_at IS NOT NULL)
        THEN 0 ELSE 1 END
        + CASE WHEN j.worker_id IS NOT NULL AND j.state <> {state.running} THEN 2 ELSE 0 END
        + CASE WHEN j.wake_at IS NOT NULL AND {part ended} THEN 4 ELSE 0 END
        + CASE WHEN ({part ended}) <> (j.finished_at IS NOT NULL) THEN 8 ELSE 0 END
        + CASE WHEN ({part ended}) <> (j.keep_until IS NOT NULL) THEN 16 ELSE 0 END
        + CASE WHEN j.state = {state.running} AND (j.fence < 1 OR j.claimed_at IS NULL) THEN 32 ELSE 0 END
        + CASE WHEN
            j.failures > :tries OR j.crashes > :crash_limit OR j.losses > :loss_limit
            OR (j.failures + j.crashes + j.losses > 0 AND j.options <> '{}')
        THEN 64 ELSE 0 END
        + CASE WHEN {until j.finished_at} + :clock_step_us < {until j.created_at} THEN 512 ELSE 0 END
        + CASE WHEN j.wake_at > {after :horizon_us} THEN 1024 ELSE 0 END
        + CASE WHEN
            j.expires_at IS NOT NULL AND j.state IN ({state.scheduled}, {state.waiting}, {state.ready})
            AND (j.wake_at IS NULL OR j.wake_at > j.expires_at)
        THEN 2048 ELSE 0 END
        + CASE WHEN
            j.state = {state.running} AND j.wake_at IS NULL
            AND (j.timeout_us IS NOT NULL OR j.cancel_asked_at IS NOT NULL)
        THEN 4096 ELSE 0 END
        + CASE WHEN
            NOT {part ended}
            AND (j.codec <> :codec OR j.options NOT LIKE :document OR j.labels NOT LIKE :document OR j.args NOT LIKE :document)
        THEN 8192 ELSE 0 END AS broken
    FROM {jobs} AS j
    WHERE j.id > :after AND j.id <= :until
        -- Most rows have ended well: they are passed at a glance.
        AND CASE WHEN
            {part ended} AND j.worker_id IS NULL AND j.wake_at IS NULL AND j.finished_at >= j.created_at
            AND j.keep_until IS NOT NULL AND j.failures + j.crashes + j.losses = 0
        THEN 1 ELSE 0 END = 0
) AS x
WHERE x.broken <> 0

-- name: inspect_attempts_end
-- The last job of a portion of the attempts.
SELECT a.job_id FROM {attempts} AS a WHERE a.job_id > :after ORDER BY a.job_id LIMIT 1 OFFSET :skip

-- name: inspect_attempts
-- What attempts of a portion break, as bits; 2 where there is no job. Each job is looked up by its id: a join of two
-- ranges reads every job between two attempts, and all jobs where statistics are older than the table.
SELECT x.job_id, x.broken
FROM (
    SELECT a.job_id, COALESCE((
        SELECT
            CASE WHEN a.fence > j.fence THEN 1 ELSE 0 END
            + CASE WHEN j.state = {state.running} AND a.fence = j.fence AND a.ended_at IS NOT NULL THEN 4 ELSE 0 END
        FROM {jobs} AS j WHERE j.id = a.job_id
    ), 2) AS broken
    FROM {attempts} AS a
    WHERE a.job_id > :after AND a.job_id <= :until
) AS x
WHERE x.broken <> 0

-- name: inspect_logs_end
-- The last job of a portion of the log lines.
SELECT l.job_id FROM {job_logs} AS l WHERE l.job_id > :after ORDER BY l.job_id LIMIT 1 OFFSET :skip

-- name: inspect_logs
-- Log lines of a portion that belong to no job, each looked up by its id as attempts are.
SELECT DISTINCT l.job_id, 1
FROM {job_logs} AS l
WHERE l.job_id > :after AND l.job_id <= :until
    AND (SELECT j.id FROM {jobs} AS j WHERE j.id = l.job_id) IS NULL

-- name: inspect_owners
-- Workers that own jobs, hopping from one to the next: those that are gone, and where the portion ends.
WITH RECURSIVE hops (worker_id, number) AS (
    SELECT (SELECT r.worker_id FROM {jobs} AS r WHERE r.worker_id > :after ORDER BY r.worker_id LIMIT 1), 1
    UNION ALL
    SELECT
        (SELECT r.worker_id FROM {jobs} AS r WHERE r.worker_id > hops.worker_id ORDER BY r.worker_id LIMIT 1),
        hops.number + 1
    FROM hops WHERE hops.worker_id IS NOT NULL AND hops.number < :limit
)
SELECT h.worker_id, h.number,
    CASE
        WHEN w.id IS NULL THEN 'owner_missing'
        WHEN w.ended_at < {after -w.lease_us - :grace_us} AND {part attended} THEN 'owner_ended_and_not_recovered'
        WHEN w.ended_at IS NOT NULL OR w.lease_until < {now} THEN 'recovering'
    END
FROM hops AS h
LEFT JOIN {workers} AS w ON w.id = h.worker_id
WHERE h.worker_id IS NOT NULL
    AND (h.number = :limit OR w.id IS NULL OR w.ended_at IS NOT NULL OR w.lease_until < {now})

-- name: owned_ids
-- Some of the jobs of a worker.
SELECT j.id FROM {jobs} AS j WHERE j.worker_id = :worker_id LIMIT :limit

-- name: inspect_alarms
-- Alarms that have passed for longer than the bound, the oldest first. Who runs too long is sought among what the
-- living run (CROSS JOIN keeps SQLite to that order): among alarms it would stand behind all that is overdue.
SELECT * FROM (
    SELECT 'alarm_overdue' AS invariant, CAST(j.id AS text) AS id FROM {jobs} AS j
    WHERE j.wake_at < {after -:bound_us}
        AND CASE WHEN j.state IN ({state.scheduled}, {state.waiting}, {state.ready}) THEN true ELSE false END
        AND {part attended}
    ORDER BY j.wake_at
    LIMIT :limit
) AS o1
UNION ALL
SELECT * FROM (
    SELECT 'timeout_overdue', CAST(j.id AS text) FROM {workers} AS w
    CROSS JOIN {jobs} AS j
    WHERE j.worker_id = w.id
        AND CASE WHEN
            j.wake_at < {after -:timeout_bound_us}
            AND j.state = {state.running}
            AND {until j.claimed_at} + j.timeout_us < -:timeout_bound_us
        THEN true ELSE false END
        AND w.ended_at IS NULL
        AND w.lease_until > {now}
    ORDER BY j.wake_at
    LIMIT :limit
) AS o2

-- name: inspect_workers
-- Workers whose own row breaks an invariant.
SELECT * FROM (
    SELECT 'worker_without_lease_or_end' AS invariant, CAST(w.id AS text) AS id FROM {workers} AS w
    WHERE w.ended_at IS NULL AND w.lease_until IS NULL LIMIT :limit
) AS o1
UNION ALL
SELECT * FROM (
    SELECT 'lease_longer_than_allowed', CAST(w.id AS text) FROM {workers} AS w
    WHERE w.ended_at IS NULL AND w.lease_until > {after w.lease_us + :grace_us} LIMIT :limit
) AS o2
UNION ALL
SELECT * FROM (
    SELECT 'lapsed_worker_not_ended', CAST(w.id AS text) FROM {workers} AS w
    WHERE w.ended_at IS NULL AND w.lease_until < {after -w.lease_us - :grace_us} AND {part attended} LIMIT :limit
) AS o3

-- part: attended
-- Whether somebody could have acted: a living worker that has been there for longer than the bound.
EXISTS (
    SELECT 1 FROM {workers} AS h
    WHERE h.ended_at IS NULL AND h.lease_until > {now} AND h.started_at < {after -:bound_us}
)

-- name: lock_migrations
-- One migration at a time, until the end of the transaction.
SELECT 1

-- name: applied_steps
-- The steps that the store has gone through.
SELECT g.number, g.checksum FROM {migrations} AS g ORDER BY g.number

-- name: record_step
-- A step's record, in the transaction of the step.
INSERT INTO {migrations} (number, name, checksum, applied_at)
SELECT v.number, v.name, v.checksum, {now} FROM {rows v: number int, name text, checksum text}
