-- progress: show how far running jobs are, fenced like a settlement.
-- KEYS: meta jobs runs totals counts watch
-- META: tick
-- LIB: record counters events save
-- ARGV: 1 UPDATE for each; 2 their parts one after the other; 3… the workers
-- RETURNS: a letter for each: a applied, d already, s stale, g gone, c cannot be read
local items, payload, ITEM = ARGV[1], ARGV[2], layout.UPDATE.size
local ids, out, known = {}, {}, {}
for at = layout.UPDATE.at.id, #items, ITEM do
  ids[#ids + 1] = ssub(items, at, at + layout.UPDATE.width.id - 1)
end
local stored = call('HMGET', runs, unpack(ids))
local progress_at = 1
for i = 1, #ids do
  local layout.UPDATE.fields = sunpack(layout.UPDATE.format, items, (i - 1) * ITEM + 1)
  local r, why = known[id], nil
  if not r and stored[i] then r, why = record.decode_run(stored[i]) end
  if why then
    out[i] = why == 'newer' and 's' or 'c'
  elseif not r and call('HEXISTS', jobs, id) == 0 then
    out[i] = 'g'
  elseif not r or r.claim ~= claim or r.worker ~= ARGV[3 + worker_index] then -- nil: never claimed
    counters.tally('stale', 1)
    out[i] = 's'
  elseif r.state ~= IN_PROGRESS then
    out[i] = 'd'
  else
    known[id] = r
    r.progress = ssub(payload, progress_at, progress_at + progress_size - 1)
    r.updated_at, r.revision = now, r.revision + 1
    events.add(id, r.revision)
    out[i] = 'a'
  end
  progress_at = progress_at + progress_size
end
for id, r in pairs(known) do save.run(id, r) end
save.flush()
counters.flush()
events.publish()
return table.concat(out)
