-- leave: stop waiting without an answer; a ring that was taken and not heard is passed on.
-- KEYS: meta idle bell ready:high ready:normal ready:low suspects
-- META: tick paused
-- LIB: ring
-- ARGV: 1 worker
-- RETURNS: nothing
call('ZREM', idle, ARGV[1])
ring(math.min(1, call('ZCARD', ready_high) + call('ZCARD', ready_normal) + call('ZCARD', ready_low)
  + call('ZCOUNT', suspects, '-inf', string.format('%.0f', now))))
return 0
