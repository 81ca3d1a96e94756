-- stop_waiting: end a wait that was cancelled; a wake-up that it may have taken is forwarded.
-- KEYS: meta idle bell ready:high ready:normal ready:low suspects delayed gate:times
-- META: tick paused closed
-- LIB: wake_up claimable
-- ARGV: 1 worker
-- RETURNS: nothing
call('ZREM', idle, ARGV[1])
wake_up(math.min(1, claimable()))
return 0
