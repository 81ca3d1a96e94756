-- Pauses of job names: `of` lists those of a name as {began, ended}, ended 0 while it lasts;
-- `stopped` has the names that are paused now. In running time: see store/pauses.py.
local pauses = {of = {}, stopped = {}, packed = ''}
local fields = call('HGETALL', pause_fields)
for i = 1, #fields, 2 do
  if #fields[i] > 1 then
    local name, list = ssub(fields[i], 2), cmsgpack.unpack(fields[i + 1])
    pauses.of[name] = list
    if list[#list][2] == 0 then pauses.stopped[name] = true end
  end
end
if next(pauses.of) then pauses.packed = cmsgpack.pack(pauses.of) end

-- How long the time to live of a job that waits has stood still; `active`: the running time.
function pauses.stood_still(r, active)
  local still = 0
  for _, pause in ipairs(pauses.of[r.name] or {}) do
    local ended = pause[2] > 0 and pause[2] or active
    still = still + math.max(0, ended - math.max(pause[1], r.ttl_from))
  end
  return still
end

return pauses
