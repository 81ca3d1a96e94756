-- reopen_queue: accept jobs again; a purged queue starts empty.
-- KEYS: all
-- META: tick safety paused closed
-- LIB: wake_up claimable timer
-- RETURNS: nothing
call('HDEL', meta, 'closed', 'purged')
closed = 0
timer.update()
wake_up(claimable())
return 0
