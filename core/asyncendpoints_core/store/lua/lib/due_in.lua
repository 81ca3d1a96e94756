-- In how many ms a job may be ready by time alone; -1 when none will.
-- FEATURELIB: parked_flows
-- A suspect that may run already waits for a worker that is empty, not for a time.
local function due_in()
  local due = tonumber(call('ZRANGE', delayed, '0', '0', 'WITHSCORES')[2])
  local backing_off = tonumber(call('ZRANGEBYSCORE', suspects, '(' .. string.format('%d', now),
    '+inf', 'WITHSCORES', 'LIMIT', '0', '1')[2])
  if not due or backing_off and backing_off < due then due = backing_off end
  local limited = parked_flows and parked_flows.next_time()
  if limited and (not due or limited < due) then due = limited end
  return due and math.max(0, due - now) or -1
end

return due_in
