-- reopen_queue: accept jobs again; a purged queue starts empty.
-- KEYS: all
-- META: tick safety paused
-- LIB: wake_up rest
-- RETURNS: nothing
call('HDEL', meta, 'closed', 'purged')
rest()
wake(call('ZCARD', ready_high) + call('ZCARD', ready_normal) + call('ZCARD', ready_low))
return 0
