-- result: look one job up with its result.
-- KEYS: meta jobs runs results gone ready:high ready:normal ready:low gate:keyed
--   gate:flows
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time record jobs_ahead
-- FEATURES: pauses
-- FEATURELIB: pauses
-- FLAGS: read
-- ARGV: 1 id
-- RETURNS: context; 4 bytes: jobs ahead; its state, '' missing, 'g' gone; its result or ''
local id = ARGV[1]
local job, run = call('HGET', jobs, id), call('HGET', runs, id)
if not job then
  local absent = call('ZSCORE', tombstones, id) and 'g' or ''
  return {time.context(pauses), spack(layout.AHEAD.format, 0), absent, ''}
end
local r = record.decode(job, run)
local ahead, result = 0, ''
if r and r.state == QUEUED then
  ahead = jobs_ahead(id, r.priority)
elseif r and r.state == COMPLETED then
  result = r.result ~= '' and r.result or call('HGET', results, id) or ''
end
return {time.context(pauses), spack(layout.AHEAD.format, layout.AHEAD.fields), record.head(job, run), result}
