-- wait: register a waiting worker; one that may not claim must not take a wake-up from others. Nobody
-- may while the queue is paused or closed, and nobody is woken: those who wait are once it is not.
-- KEYS: meta workers marks idle
-- META: tick safety
-- LIB: guard cordons
-- ARGV: 1 worker, 2 ms it waits at most
-- RETURNS: 1, or 0 when it may claim nothing now
if not call('ZSCORE', workers, ARGV[1]) or call('HEXISTS', marks, 'd' .. ARGV[1]) == 1 then
  return 0
end
if cordons.last(call('HGET', marks, 'c' .. ARGV[1])) > 0 then return 0 end
call('ZADD', idle, now + tonumber(ARGV[2]) + 500, ARGV[1])
guard(idle)
return 1
