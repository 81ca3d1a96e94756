-- cancel: cancel waiting jobs, request the cancel of running ones.
-- KEYS: meta jobs runs ready:high ready:normal ready:low suspects delayed expiries finished:completed
--   finished:failed finished:canceled cancels counts totals gone watch
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time record counters events canceling
-- FEATURES: jobs WEBHOOKS GATE
-- FEATURELIB: pauses
-- FEATUREMETA: webhook_states webhook_pending gated
-- ARGV: 1 ids, 2 revisions (lib/other_revision)
-- RETURNS: context; for each a letter (c canceled, r requested, f final, p another revision, m missing,
--   g gone, b cannot be read, v of a newer version) followed by the job's state where there is one
local ids, out, known = record.split_ids(ARGV[1]), {time.context(pauses)}, {}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))

for i, id in ipairs(ids) do
  local r, why = known[id], nil
  if not r and stored[i] then r, why = record.decode(stored[i], ran[i]) end
  if r then
    known[id] = r
    out[i + 1] = canceling.job(id, r, ARGV[2]) .. record.head(stored[i], record.encode_run(r))
  elseif why then
    out[i + 1] = why == 'newer' and 'v' or 'b'
  else
    out[i + 1] = call('ZSCORE', tombstones, id) and 'g' or 'm'
  end
end
canceling.flush()
counters.flush()
events.publish()
return out
