-- How many jobs a worker holds.
local function held_count(worker)
  return call('ZLEXCOUNT', held, '[' .. worker .. '\0', '(' .. worker .. '\1')
end
return held_count
