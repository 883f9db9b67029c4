-- Take the triggers away; the lines that are there stay.
DROP TRIGGER IF EXISTS {name log_job_inserted};
DROP TRIGGER IF EXISTS {name log_job_changed};
DROP TRIGGER IF EXISTS {name log_job_deleted};
DROP TRIGGER IF EXISTS {name log_worker_inserted};
DROP TRIGGER IF EXISTS {name log_worker_changed};
DROP TRIGGER IF EXISTS {name log_worker_deleted};
DROP TRIGGER IF EXISTS {name log_queue_inserted};
DROP TRIGGER IF EXISTS {name log_queue_changed};
DROP TRIGGER IF EXISTS {name log_queue_deleted};
