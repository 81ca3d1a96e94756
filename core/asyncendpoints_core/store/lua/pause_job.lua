-- pause_job: stop handing out the jobs of one name; the time to live of those that wait stops.
-- KEYS: meta pauses
-- META: tick safety paused suspended
-- LIB: time pauses guard
-- FEATURES: pauses
-- ARGV: 1 the name
-- RETURNS: nothing
local KEPT = 8
local name = ARGV[1]
if pauses.stopped[name] then return 0 end
local list = pauses.of[name] or {}
list[#list + 1] = {time.active, 0}
while #list > KEPT do -- the oldest is merged into the next one
  list[2][1] = list[2][1] - (list[1][2] - list[1][1])
  table.remove(list, 1)
end
call('HSET', pause_fields, 'n' .. name, cmsgpack.pack(list))
guard(pause_fields)
return 0
