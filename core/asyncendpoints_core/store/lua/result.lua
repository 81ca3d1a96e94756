-- result: look one job up with its result.
-- KEYS: meta jobs runs results gone ready:high ready:normal ready:low
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time record position
-- FEATURES: pauses gate:keyed gate:flows gate:states gate:limits gate:buckets gate:places gate:usage
--   gate:tags
-- FEATUREMETA: gated
-- FEATURELIB: pauses
-- FLAGS: read
-- ARGV: 1 id
-- RETURNS: context; POSITION; its state, '' missing, 'g' gone; its result or ''
local id = ARGV[1]
local job, run = call('HGET', jobs, id), call('HGET', runs, id)
if not job then
  local absent = call('ZSCORE', tombstones, id) and 'g' or ''
  return {time.context(pauses), spack(layout.POSITION.format, 0, 0, 0), absent, ''}
end
local r = record.decode(job, run)
local ahead, before, rate_ms, result = 0, 0, 0, ''
if r and r.state == QUEUED then
  ahead, before, rate_ms = position.of(id, r.priority)
elseif r and r.state == COMPLETED then
  result = r.result ~= '' and r.result or call('HGET', results, id) or ''
end
return {time.context(pauses), spack(layout.POSITION.format, layout.POSITION.fields), record.head(job, run), result}
