-- shut: accept nothing more.
-- KEYS: meta
-- META: tick
-- RETURNS: nothing
call('HSET', meta, 'closed', 1)
return 0
