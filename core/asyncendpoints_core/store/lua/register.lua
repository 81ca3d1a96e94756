-- register: begin a worker's lease, or renew it; an incarnation that has gone stays gone.
-- KEYS: meta workers winfo left
-- META: tick lease_ms
-- ARGV: 1 worker, 2 its info
-- RETURNS: 1, or 0 when it has gone
local worker, info = ARGV[1], ARGV[2]
if call('ZSCORE', left, worker) then return 0 end
call('ZADD', workers, now + lease_ms, worker)
call('HSET', winfo, worker, info)
return 1
