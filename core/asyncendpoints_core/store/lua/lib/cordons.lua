-- The cordons of a worker, as `marks` has them: for each requester the time when its own ends.
local cordons = {}

-- None when they cannot be read: a cordon ends by itself anyway.
function cordons.read(packed)
  local kept = {}
  local _, found = pcall(cmsgpack.unpack, packed or '')
  for who, ends in pairs(type(found) == 'table' and found or {}) do
    if type(ends) == 'number' then kept[who] = ends end
  end
  return kept
end

-- When the last of them ends; 0 when none is in force.
function cordons.last(packed)
  local last = 0
  for _, ends in pairs(cordons.read(packed)) do
    if ends > now then last = math.max(last, ends) end
  end
  return last
end

return cordons
