-- When the first of the jobs that wait for a time is due; math.huge without one.
local function first_due(key)
  return tonumber(call('ZRANGE', key, '0', '0', 'WITHSCORES')[2]) or math.huge
end
return first_due
