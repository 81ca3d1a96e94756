-- How many jobs start before a waiting one if nothing more comes; without a limit in the way. With
-- keys it is an estimate for all but the first of a flow: the others in the line have as many.
-- LIB: ready
local function jobs_ahead(id, line)
  local rank = call('ZRANK', ready[line], id)
  local place = not rank and call('HGET', gate_flows, id)
  if not place then return rank or 0 end
  local before = call('ZLEXCOUNT', gate_keyed, '[' .. ssub(place, 1, -7), '(' .. place .. id)
  return (before + 1) * math.max(1, call('ZCARD', ready[line]))
end
return jobs_ahead
