-- wait: register a waiting worker; one that may not claim must not take a wake-up from others.
-- KEYS: meta workers marks idle
-- META: tick safety paused closed
-- LIB: guard
-- ARGV: 1 worker, 2 ms it waits at most
-- RETURNS: 1, or 0 when it may claim nothing now
if paused > 0 or closed > 0 or not call('ZSCORE', workers, ARGV[1])
  or call('HEXISTS', marks, 'd' .. ARGV[1]) == 1 then
  return 0
end
local packed = call('HGET', marks, 'c' .. ARGV[1])
for _, ends in pairs(packed and cmsgpack.unpack(packed) or {}) do
  if ends > now then return 0 end
end
call('ZADD', idle, now + tonumber(ARGV[2]) + 500, ARGV[1])
guard(idle)
return 1
