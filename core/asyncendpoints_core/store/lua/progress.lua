-- progress: show how far running jobs are, fenced like a settlement.
-- KEYS: meta jobs runs totals counts watch
-- META: tick
-- LIB: batch record counts events save
-- ARGV: 1 UPDATE for each; 2 their parts one after the other; 3… the workers
-- RETURNS: a letter for each: a applied, d already, s stale, g gone, c cannot be read
local ITEM = layout.UPDATE_SIZE
local ids, out, known = {}, {}, {}
for at = 1, #ARGV[1], ITEM do ids[#ids + 1] = layout.update_id(ARGV[1], at) end
local stored = call('HMGET', runs, unpack(ids))
local at = 1
for i, id in ipairs(ids) do
  local _, claim, worker_index, size = layout.read_update(ARGV[1], (i - 1) * ITEM + 1)
  local r, why = known[id], nil
  if not r and stored[i] then r, why = record.decode_run(stored[i]) end
  if why then
    out[i] = why == 'newer' and 's' or 'c'
  elseif not r and call('HEXISTS', jobs, id) == 0 then
    out[i] = 'g'
  elseif not r or r.claim ~= claim or r.worker ~= ARGV[3 + worker_index] then -- nil: never claimed
    tally('stale', 1)
    out[i] = 's'
  elseif r.state ~= IN_PROGRESS then
    out[i] = 'd'
  else
    known[id] = r
    r.progress, r.updated_at, r.revision = ssub(ARGV[2], at, at + size - 1), now, r.revision + 1
    note(id, r.revision)
    out[i] = 'a'
  end
  at = at + size
end
for id, r in pairs(known) do save(id, r) end
batch.flush(set_runs)
flush_counts()
publish()
return table.concat(out)
