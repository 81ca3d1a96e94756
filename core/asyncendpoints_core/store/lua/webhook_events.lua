-- webhook_events: the oldest ends of jobs for which no deliveries were made yet.
-- KEYS: meta outbox outbox:heads
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time
-- FLAGS: read
-- ARGV: 1 limit
-- RETURNS: context; JOB_END and the head of each
local out = {time.context()}
local found = call('ZRANGE', unsent_events, 0, tonumber(ARGV[1]) - 1)
for i, head in ipairs(#found > 0 and call('HMGET', outbox_heads, unpack(found)) or {}) do
  out[#out + 1], out[#out + 2] = found[i], head or ''
end
return out
