-- Take the triggers and their functions away, in one go; the lines that are there stay.
DROP FUNCTION IF EXISTS {name log_job}() CASCADE;
DROP FUNCTION IF EXISTS {name log_worker}() CASCADE;
DROP FUNCTION IF EXISTS {name log_queue}() CASCADE;
