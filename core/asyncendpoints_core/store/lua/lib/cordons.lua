-- The cordons of a worker, as `marks` has them: for each requester the time when its own ends.
local cordons = {}

function cordons.read(packed)
  return packed and cmsgpack.unpack(packed) or {}
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
