-- delete: remove final jobs now.
-- KEYS: meta jobs runs blobs results finished:completed finished:failed finished:canceled corrupt counts
--   totals gone watch
-- META: tick safety
-- LIB: record counters events remove guard other_revision
-- FEATURES: logs logs:times outbox outbox:receivers
-- FEATUREMETA: log_bytes webhook_states
-- ARGV: 1 ids, 2 revisions (lib/other_revision)
-- RETURNS: a letter for each: d deleted, n not final, p another revision, m missing, g gone,
--   b cannot be read, v of a newer version
local ids, out, removed = record.split_ids(ARGV[1]), {}, {}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
for i, id in ipairs(ids) do
  local r, why
  if stored[i] then r, why = record.decode(stored[i], ran[i]) end
  if removed[id] then
    out[i] = 'g'
  elseif why then
    out[i] = why == 'newer' and 'v' or 'b'
  elseif not r then
    out[i] = call('ZSCORE', tombstones, id) and 'g' or 'm'
  elseif r.state < COMPLETED then
    out[i] = 'n'
  elseif other_revision(ARGV[2], r) then
    out[i] = 'p'
  else
    remove.job(id, r.state, r.name, r.revision)
    removed[id], out[i] = true, 'd'
  end
end
remove.flush()
guard(tombstones)
if event_receivers then guard(outbox_receivers) end
counters.flush()
events.publish()
return table.concat(out)
