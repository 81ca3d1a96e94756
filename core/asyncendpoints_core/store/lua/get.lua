-- get: look jobs up; their state without request and result.
-- KEYS: meta jobs runs gone ready:high ready:normal ready:low
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time record head
-- FLAGS: read
-- ARGV: 1 ids
-- RETURNS: context; 4 bytes for each: jobs ahead; for each its state, '' missing, 'g' gone
local ids, aheads, out = {}, {}, {}
for i = 1, #ARGV[1], 16 do ids[#ids + 1] = ssub(ARGV[1], i, i + 15) end
local LINES = {[0] = ready_high, ready_normal, ready_low}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
for i, id in ipairs(ids) do
  local ahead = 0
  if stored[i] then
    local bits = sbyte(ran[i] or stored[i], 2) or 255
    local line = bits % 8 == QUEUED and LINES[floor(bits / 16) % 4]
    ahead = line and call('ZRANK', line, id) or 0
    out[i] = head(stored[i], ran[i])
  else
    out[i] = call('ZSCORE', gone, id) and 'g' or ''
  end
  aheads[i] = spack('>I4', ahead)
end
return {context(), table.concat(aheads), unpack(out)}
