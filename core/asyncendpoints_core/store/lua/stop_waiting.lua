-- stop_waiting: end a wait that was cancelled; a wake-up that it may have taken is forwarded.
-- KEYS: meta idle bell ready:high ready:normal ready:low suspects
-- META: tick paused
-- LIB: ready wake_up
-- ARGV: 1 worker
-- RETURNS: nothing
call('ZREM', idle, ARGV[1])
wake_up(math.min(1, ready.count()
  + call('ZCOUNT', suspects, '-inf', string.format('%.0f', now))))
return 0
