-- result: look one job up with its result.
-- KEYS: meta jobs results gone ready:high ready:normal ready:low
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time head
-- FLAGS: read
-- ARGV: 1 id
-- RETURNS: context; 4 bytes: jobs ahead; its state, '' missing, 'g' gone; its result or ''
local id = ARGV[1]
local record = call('HGET', jobs, id)
if not record then
  return {context(), struct.pack('>I4', 0), call('ZSCORE', gone, id) and 'g' or '', ''}
end
local bits = string.byte(record, 2) or 255
local line = bits % 8 == 0
  and ({[0] = ready_high, ready_normal, ready_low})[floor(bits / 16) % 4]
local ahead = line and call('ZRANK', line, id) or 0
local result = bits % 8 == 3 and call('HGET', results, id) or ''
return {context(), struct.pack('>I4', ahead), head(record), result}
