-- get: look jobs up; their state without request and result.
-- KEYS: meta jobs runs gone ready:high ready:normal ready:low gate:keyed
--   gate:flows
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time record jobs_ahead
-- FEATURES: pauses
-- FEATURELIB: pauses
-- FLAGS: read
-- ARGV: 1 ids
-- RETURNS: context; 4 bytes for each: jobs ahead; for each its state, '' missing, 'g' gone
local ids, aheads, out = record.split_ids(ARGV[1]), {}, {}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
for i, id in ipairs(ids) do
  local ahead = 0
  if stored[i] then
    local line = record.waiting_line(stored[i], ran[i])
    ahead = line and jobs_ahead(id, line) or 0
    out[i] = record.head(stored[i], ran[i])
  else
    out[i] = call('ZSCORE', tombstones, id) and 'g' or ''
  end
  aheads[i] = spack(layout.AHEAD.format, layout.AHEAD.fields)
end
return {time.context(pauses), table.concat(aheads), unpack(out)}
