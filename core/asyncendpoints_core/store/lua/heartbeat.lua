-- heartbeat: renew leases, and return the cancels requested of each worker. An expired worker stays
--   deregistered.
-- KEYS: meta runs workers marks held cancels
-- META: tick safety lease_ms
-- LIB: record guard cordons held_count
-- ARGV: 1 a digit for each worker: 1 draining; 2… the workers
-- RETURNS: for each: LEASE, then CLAIM for each job whose cancel was requested
local requested = {}
if call('HLEN', cancels) > 0 then
  local flat, ids = call('HGETALL', cancels), {}
  for i = 1, math.min(#flat, 2000), 2 do ids[#ids + 1] = flat[i] end
  for i, run in ipairs(call('HMGET', runs, unpack(ids))) do
    local r = run and record.decode_run(run)
    if r and r.state == IN_PROGRESS then
      requested[r.worker] = requested[r.worker] or {}
      r.id = ids[i]
      table.insert(requested[r.worker], r)
    end
  end
end

local function lease(gone, cordoned, held)
  return spack(layout.LEASE.format, layout.LEASE.fields)
end

local out = {}
for i = 2, #ARGV do
  local worker = ARGV[i]
  if not call('ZSCORE', workers, worker) then
    out[i - 1] = lease(1, 0, 0)
  else
    call('ZADD', workers, now + lease_ms, worker)
    if ssub(ARGV[1], i - 1, i - 1) == '1' then
      call('HSET', marks, 'd' .. worker, 1)
      guard(marks)
    else
      call('HDEL', marks, 'd' .. worker)
    end
    local cordoned = cordons.last(call('HGET', marks, 'c' .. worker)) > 0
    local parts = {lease(0, cordoned and 1 or 0, held_count(worker))}
    local list = requested[worker] or {}
    table.sort(list, function(a, b) return a.claim < b.claim end)
    for _, r in ipairs(list) do
      parts[#parts + 1] = spack(layout.CLAIM.format, layout.CLAIM.fields(r))
    end
    out[i - 1] = table.concat(parts)
  end
end
return out
