-- recover: write the tick and find what needs recovery, a bounded number.
-- KEYS: meta jobs runs workers held
-- META: tick safety ticked lease_ms execution_ms grace_ms deadline_floor
-- LIB: record guard keep_skip_list keep_hash_table
-- RETURNS: 1 after an outage; workers with an expired lease; overdue and orphaned claims, each
--   FOUND; ids of records that cannot be read
local OUTAGE_MS, BOUND, TABLES_MS = 5000, 500, 10000
local away = ticked > 0 and now - ticked > OUTAGE_MS
local text = string.format('%.0f', now)
call('HSET', meta, 'tick', text, 'ticked', text)
keep_skip_list()
if floor(now / TABLES_MS) > floor(ticked / TABLES_MS) then keep_hash_table(jobs) end
guard(held)
local full = string.format('%.0f', now + lease_ms)
if away then
  -- No lease could be renewed and no job settled: all leases and deadlines are extended.
  for _, worker in ipairs(call('ZRANGE', workers, 0, 9999)) do
    call('ZADD', workers, full, worker)
  end
  call('HSET', meta, 'deadline_floor', string.format('%.0f', now + execution_ms))
  return {1, {}, {}, {}, ''}
end
for _, worker in ipairs(call('ZRANGEBYSCORE', workers, '(' .. full, '+inf', 'LIMIT', 0, BOUND)) do
  call('ZADD', workers, full, worker)
end
local expired = call('ZRANGEBYSCORE', workers, '-inf', text, 'LIMIT', 0, BOUND)

local overdue, orphaned, unreadable, leases = {}, {}, {}, {}
-- Continues after the last member of the previous call. A control character begins no worker's id.
local from = call('HGET', meta, 'recover_from')
local members = call('ZRANGEBYLEX', held, from and '(' .. from or '[\1', '+', 'LIMIT', 0, BOUND)
if #members == BOUND then
  call('HSET', meta, 'recover_from', members[BOUND])
else
  call('HDEL', meta, 'recover_from')
end
local ids = {}
for i, member in ipairs(members) do ids[i] = record.held_id(member) end
for i, run in ipairs(#ids > 0 and call('HMGET', runs, unpack(ids)) or {}) do
  local r, why
  if run then r, why = record.decode_run(run) end
  if r and r.state == IN_PROGRESS then
    local lease = leases[r.worker]
    if lease == nil then
      lease = tonumber(call('ZSCORE', workers, r.worker) or -1)
      leases[r.worker] = lease
    end
    r.id = ids[i]
    local entry = spack(layout.FOUND.format, layout.FOUND.fields(r)) .. r.worker
    if lease < 0 then
      orphaned[#orphaned + 1] = entry
    elseif lease > now and math.max(r.deadline, deadline_floor) + 2 * grace_ms < now then
      overdue[#overdue + 1] = entry
    end
  elseif why ~= 'newer' then
    unreadable[#unreadable + 1] = ids[i]
  end
end
return {0, expired, overdue, orphaned, table.concat(unreadable)}
