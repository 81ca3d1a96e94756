-- In how many ms a job may be ready by time alone; -1 when none will. Takes the times of the first.
-- FEATURELIB: parked_flows
local function due_in(delayed_at, suspects_at)
  local due = delayed_at
  -- A suspect that may run already waits for a worker that is empty, not for a time.
  if suspects_at <= now then
    suspects_at = tonumber(call('ZRANGEBYSCORE', suspects, '(' .. string.format('%d', now), '+inf',
      'WITHSCORES', 'LIMIT', '0', '1')[2]) or math.huge
  end
  due = math.min(due, suspects_at, parked_flows and parked_flows.next_time() or math.huge)
  return due < math.huge and math.max(0, due - now) or -1
end

return due_in
