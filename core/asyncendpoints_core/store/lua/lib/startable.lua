-- How many of the queued jobs no limit holds back now. With more than LOOK keys, priorities and names it
-- is an estimate: while limits hold jobs back, each of the rest counts as one.
-- LIB: ready limiting
local LOOK = 100
local function startable(queued)
  if call('HLEN', gate_limits) == 0 then return queued end
  local room = {}
  local function left(resource)
    room[resource] = room[resource] or limiting.room(resource, queued)
    return room[resource]
  end
  local looked, excess, found = 0, 0, call('ZCARD', suspects)
  local function count(id)
    local entry = call('HGET', gate_flows, id)
    local flow = entry and ssub(entry, 1, -layout.FLOW_END.size - 1)
    local at = entry and string.find(flow, '\0', 1, true)
    looked = looked + 1
    if not at then -- it waited before there were limits
      found = found + 1
      return
    end
    local key, job = 'k' .. ssub(flow, 1, at - 1), 'j' .. ssub(flow, at + 2, -2)
    local waiting = 1 + call('ZLEXCOUNT', gate_keyed, '[' .. flow, '(' .. ssub(flow, 1, -2) .. '\1')
    local most = math.min(waiting, left(job), key ~= 'k' and left(key) or waiting)
    room[job] = room[job] - most
    if key ~= 'k' then room[key] = room[key] - most end
    found, excess = found + most, excess + waiting - most
  end
  for line = 0, 2 do
    local heads = looked < LOOK and call('ZRANGE', ready[line], 0, LOOK - looked - 1) or {}
    for _, id in ipairs(heads) do count(id) end
  end
  if call('ZCARD', gate_parked) > 0 then
    found = found + ready.count() - looked
  else
    found = queued - excess
  end
  return math.min(found, left('t'))
end
return startable
