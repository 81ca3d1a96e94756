-- register: begin a worker's lease, or renew it; a deregistered id is refused.
-- KEYS: meta workers winfo left
-- META: tick safety lease_ms
-- LIB: guard
-- ARGV: 1 worker, 2 its info
-- RETURNS: 1, or 0 when it was deregistered
local worker, info = ARGV[1], ARGV[2]
if call('ZSCORE', deregistered, worker) then return 0 end
call('ZADD', workers, now + lease_ms, worker)
call('HSET', worker_info, worker, info)
guard(workers)
guard(worker_info)
return 1
