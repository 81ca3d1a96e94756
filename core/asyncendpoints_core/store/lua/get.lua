-- get: look jobs up; their state without request and result.
-- KEYS: meta jobs runs gone ready:high ready:normal ready:low
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time record position
-- FEATURES: pauses gate:keyed gate:flows gate:states gate:limits gate:buckets gate:places gate:usage
--   gate:tags
-- FEATUREMETA: gated
-- FEATURELIB: pauses
-- FLAGS: read
-- ARGV: 1 ids
-- RETURNS: context; POSITION for each; for each its state, '' missing, 'g' gone
local ids, positions, out = record.split_ids(ARGV[1]), {}, {}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
for i, id in ipairs(ids) do
  local ahead, before, rate_ms = 0, 0, 0
  if stored[i] then
    local line = record.waiting_line(stored[i], ran[i])
    if line then ahead, before, rate_ms = position.of(id, line) end
    out[i] = record.head(stored[i], ran[i])
  else
    out[i] = call('ZSCORE', tombstones, id) and 'g' or ''
  end
  positions[i] = spack(layout.POSITION.format, layout.POSITION.fields)
end
return {time.context(pauses), table.concat(positions), unpack(out)}
