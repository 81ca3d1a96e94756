-- read_logs: read the logs of a job.
-- KEYS: meta logs
-- META: tick
-- FLAGS: read
-- ARGV: 1 id
-- RETURNS: a LOG for each claim, the oldest first
return call('HGET', log_records, ARGV[1]) or ''
