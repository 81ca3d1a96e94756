-- The first flows that the limit of a resource holds back.
-- IF: gated > 0
local function first_parked(resource, count)
  return call('ZRANGEBYLEX', gate_parked, '[' .. resource .. '\0', '(' .. resource .. '\1',
    'LIMIT', 0, count)
end
return first_parked
