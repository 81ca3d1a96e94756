-- Pauses of job names: `of` lists those of a name as {began, ended}, ended 0 while it lasts;
-- `stopped` has the names that are paused now. In running time: see store/pauses.py.
-- LAZY:
local pauses = {of = {}, stopped = {}, packed = ''}
local fields = call('HGETALL', pause_fields)

-- Of pauses that cannot be read nothing is known but that there were some: the name stays paused
-- until it is resumed, as if it had always been.
local function read(packed)
  local ok, list = pcall(cmsgpack.unpack, packed)
  local sound = ok and type(list) == 'table' and #list > 0
  for _, pause in ipairs(sound and list or {}) do
    sound = sound and type(pause) == 'table' and type(pause[1]) == 'number'
      and type(pause[2]) == 'number'
  end
  return sound and list or {{0, 0}}
end

for i = 1, #fields, 2 do
  if #fields[i] > 1 then
    local name, list = ssub(fields[i], 2), read(fields[i + 1])
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
