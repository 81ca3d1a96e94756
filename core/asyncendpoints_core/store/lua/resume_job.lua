-- resume_job: hand out the jobs of a name again.
-- KEYS: meta pauses counts idle bell gate:times
-- META: tick paused suspended closed gated
-- LIB: time pauses skips wake_up
-- ARGV: 1 the name
-- RETURNS: nothing
local name = ARGV[1]
if not pauses.stopped[name] then return 0 end
local list = pauses.of[name]
list[#list][2] = time.active
call('HSET', pause_fields, 'n' .. name, cmsgpack.pack(list))
for line = 0, 2 do skips.set(line, 0) end
local queued = tonumber(call('HGET', counts, QUEUED .. name) or 0)
if gated > 0 and queued > 0 then call('ZADD', gate_times, now, 'j' .. name) end
wake_up(queued)
return 0
