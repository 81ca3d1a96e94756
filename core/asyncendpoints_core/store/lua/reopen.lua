-- reopen: accept again; a purged endpoint becomes an empty one.
-- KEYS: meta idle bell ready:high ready:normal ready:low
-- META: tick paused
-- LIB: ring
-- RETURNS: nothing
call('HDEL', meta, 'closed', 'purged')
call('PERSIST', meta)
ring(call('ZCARD', ready_high) + call('ZCARD', ready_normal) + call('ZCARD', ready_low))
return 0
