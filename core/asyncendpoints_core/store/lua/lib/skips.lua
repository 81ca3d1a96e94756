-- Up to which sequence number a line has only jobs whose name is paused: claims begin behind them.
-- LAZY:
local skips = {}
local FIELDS = {[0] = '0', '1', '2'} -- no job has such a name
local found = call('HMGET', pause_fields, FIELDS[0], FIELDS[1], FIELDS[2])
for line = 0, 2 do skips[line] = tonumber(found[line + 1]) or 0 end

function skips.set(line, seq)
  if skips[line] == seq then return end
  skips[line] = seq
  if seq > 0 then
    call('HSET', pause_fields, FIELDS[line], string.format('%.0f', seq))
  else
    call('HDEL', pause_fields, FIELDS[line])
  end
end

-- A job was put at the position `seq` of a line.
function skips.put(line, seq)
  if seq <= skips[line] then skips.set(line, seq - 1) end
end

return skips
