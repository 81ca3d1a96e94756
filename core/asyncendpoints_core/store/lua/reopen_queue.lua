-- reopen_queue: accept jobs again; a purged queue starts empty.
-- KEYS: all
-- META: tick safety paused
-- LIB: ready wake_up timer
-- RETURNS: nothing
call('HDEL', meta, 'closed', 'purged')
timer.update()
wake_up(ready.count())
return 0
