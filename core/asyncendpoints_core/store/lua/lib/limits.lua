-- Limits as they are stored, packed: one of a resource, or those of a policy by resource.
local limits = {}
local LEAST_WEIGHT = 0.01

local function sound(l)
  return type(l) == 'table' and type(l.concurrency) == 'number' and type(l.rate) == 'number'
    and type(l.burst) == 'number' and type(l.depth) == 'number' and type(l.weight) == 'number'
    and l.weight >= LEAST_WEIGHT
end

-- Nil for one that cannot be read.
function limits.read(packed)
  local ok, l = pcall(cmsgpack.unpack, packed)
  return ok and sound(l) and l or nil
end

-- Those that can be read, by resource.
function limits.read_all(packed)
  local ok, all = pcall(cmsgpack.unpack, packed)
  local found = {}
  for resource, l in pairs(ok and type(all) == 'table' and all or {}) do
    if sound(l) then found[resource] = l end
  end
  return found
end

return limits
