-- Flows that a limit holds back, and when they may go on.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: limiting gate_data flow_states gate first_parked
-- IF: gated > 0
local parked_flows = {}

-- Whether the total lets no job start.
function parked_flows.closed()
  return limiting.full('t') ~= nil
end

-- Lets flows go on whose limit has room again. Returns how many.
function parked_flows.unpark()
  local pulled = 0
  for _, resource in ipairs(call('ZRANGEBYSCORE', gate_times, '-inf', string.format('%d', now), 'LIMIT', '0',
    limiting.BOUND)) do
    local free = limiting.room(resource, limiting.BOUND)
    local found = free > 0 and first_parked(resource, free) or {}
    for _, member in ipairs(found) do
      local flow = ssub(member, #resource + 10)
      if ssub(flow_states.get(flow) or '', 2) == member then gate.pull(flow) end
    end
    if #found > 0 then call('ZREM', gate_parked, unpack(found)) end
    pulled = pulled + #found
    if not first_parked(resource, 1)[1] or free == 0 and limiting.full(resource) ~= 'r' then
      call('ZREM', gate_times, resource)
    elseif free == 0 then
      call('ZADD', gate_times, gate_data.text(limiting.token_at(resource)), resource)
    end
  end
  if pulled > 0 then gate_data.write() end
  return pulled
end

-- Whether flows wait to be looked at now.
function parked_flows.due()
  return call('ZCOUNT', gate_times, '-inf', string.format('%d', now)) > 0
end

-- When the next limit lets a job start, by time alone; nil when none does.
function parked_flows.next_time()
  if limiting.full('t') == 'r' then return limiting.token_at('t') end
  return tonumber(call('ZRANGEBYSCORE', gate_times, '(' .. string.format('%d', now), '+inf',
    'WITHSCORES', 'LIMIT', '0', '1')[2])
end

return parked_flows
