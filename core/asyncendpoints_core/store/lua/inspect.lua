-- inspect: look jobs up with their requests.
-- KEYS: meta jobs runs blobs gone ready:high ready:normal ready:low
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time record position
-- FEATURES: pauses gate:keyed gate:flows gate:states gate:places gate:usage gate:tags gate:buckets
--   gate:limits
-- FEATUREMETA: gated
-- FEATURELIB: pauses limit_reached
-- FLAGS: read
-- ARGV: 1 ids, 2 '1' for their bodies
-- RETURNS: context; POSITION for each; for each its state, '' missing, 'g' gone; its request
--   without the body; the body's size; the body if it is wanted; the limit that holds it back
local ids, wanted, positions, out = record.split_ids(ARGV[1]), ARGV[2] == '1', {}, {}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
local function add(state, request, size, body, limit)
  local at = #out
  out[at + 1], out[at + 2], out[at + 3], out[at + 4], out[at + 5] = state, request, size, body, limit
end
for i, id in ipairs(ids) do
  local job, ahead, before, rate_ms = stored[i], 0, 0, 0
  if job then
    local line = record.waiting_line(job, ran[i])
    if line then ahead, before, rate_ms = position.of(id, line) end
    local made = record.decode_job(job)
    local request_at = #record.head(job) + 1
    local body_at = request_at + record.request_bytes(job, request_at)
    local body = ''
    if wanted and made then
      body = made.body_apart and (call('HGET', blobs, id) or '') or ssub(job, body_at)
    end
    add(record.head(job, ran[i]), ssub(job, request_at, body_at - 1), made and made.body_size or 0, body,
      line and limit_reached and limit_reached(job) or '')
  else
    add(call('ZSCORE', tombstones, id) and 'g' or '', '', 0, '', '')
  end
  positions[i] = spack(layout.POSITION.format, layout.POSITION.fields)
end
return {time.context(pauses), table.concat(positions), unpack(out)}
