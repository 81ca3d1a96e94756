-- webhook_events: the oldest ends of jobs for which no deliveries were made yet.
-- KEYS: meta jobs outbox outbox:heads outbox:receivers
-- META: tick paused suspended ttl_ms completed_ms failed_ms webhook_states
-- LIB: time record
-- FLAGS: read
-- ARGV: 1 limit
-- RETURNS: context; for each JOB_END, its head, and the receivers that clients named for it
local out = {time.context()}
local found = call('ZRANGE', unsent_events, 0, tonumber(ARGV[1]) - 1)

-- The record of each job whose receivers are not kept apart.
local function jobs_of(kept)
  local ids, records = {}, {}
  for i, of in ipairs(found) do
    ids[i] = not kept[i] and ssub(of, layout.JOB_END.at.id, layout.JOB_END.last.id) or ''
  end
  for i, job in ipairs(call('HMGET', jobs, unpack(ids))) do records[i] = job end
  return records
end

if #found > 0 then
  local named = band(webhook_states, CLIENT_RECEIVERS) > 0
  local kept = named and call('HMGET', outbox_receivers, unpack(found))
  local records = named and jobs_of(kept)
  for i, head in ipairs(call('HMGET', outbox_heads, unpack(found))) do
    local carried = named and records[i] and record.attributes(records[i])
    out[#out + 1], out[#out + 2] = found[i], head or ''
    out[#out + 1] = named and kept[i] or carried and carried.webhooks or ''
  end
end
return out
