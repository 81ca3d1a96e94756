-- get: look jobs up; their state without request and result.
-- KEYS: meta jobs gone ready:high ready:normal ready:low
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time head
-- FLAGS: read
-- ARGV: 1 ids
-- RETURNS: context; 4 bytes for each: jobs ahead; for each its state, '' missing, 'g' gone
local ids, aheads, out = {}, {}, {}
for i = 1, #ARGV[1], 16 do ids[#ids + 1] = string.sub(ARGV[1], i, i + 15) end
local LINES = {[0] = ready_high, ready_normal, ready_low}
for i, record in ipairs(call('HMGET', jobs, unpack(ids))) do
  local ahead = 0
  if record then
    local bits = string.byte(record, 2) or 255
    local line = bits % 8 == 0 and LINES[floor(bits / 16) % 4]
    ahead = line and call('ZRANK', line, ids[i]) or 0
    out[i] = head(record)
  else
    out[i] = call('ZSCORE', gone, ids[i]) and 'g' or ''
  end
  aheads[i] = struct.pack('>I4', ahead)
end
return {context(), table.concat(aheads), unpack(out)}
