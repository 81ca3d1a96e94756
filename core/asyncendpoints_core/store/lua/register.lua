-- register: begin a worker's lease, or renew it; an incarnation that has gone stays gone.
-- KEYS: meta workers winfo left
-- META: tick safety lease_ms
-- LIB: guard
-- ARGV: 1 worker, 2 its info
-- RETURNS: 1, or 0 when it has gone
local worker, info = ARGV[1], ARGV[2]
if call('ZSCORE', left, worker) then return 0 end
call('ZADD', workers, now + lease_ms, worker)
call('HSET', winfo, worker, info)
guard(workers)
guard(winfo)
return 1
