-- close_queue: refuse new jobs.
-- KEYS: meta
-- META: tick
-- RETURNS: nothing
call('HSET', meta, 'closed', 1)
return 0
