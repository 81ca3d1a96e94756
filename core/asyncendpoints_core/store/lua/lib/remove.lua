-- Removal of final jobs: the record and all that hangs on it; a tombstone stays for a while.
-- LIB: batch counters events finished
-- FEATURELIB: logs event_receivers
local remove = {}
-- Of these the id alone is removed.
local off = {
  batch.new('HDEL', jobs), batch.new('HDEL', runs), batch.new('HDEL', blobs),
  batch.new('HDEL', results), batch.new('HDEL', corrupt),
}
local on_tombstones, off_finished = batch.new('ZADD', tombstones), batch.each('ZREM', finished)

-- `revision`: nil where it cannot be read.
function remove.job(id, state, name, revision)
  if event_receivers and revision then event_receivers.keep(id, revision) end
  for _, b in ipairs(off) do batch.add(b, id) end
  batch.add(off_finished[state], id)
  batch.add(on_tombstones, now, id)
  counters.bump(state, name, -1)
  counters.tally('removed', 1)
  events.add(id, 0)
  if logs then logs.forget(id) end
end

function remove.flush()
  batch.flush_each(off_finished)
  for _, b in ipairs(off) do batch.flush(b) end
  batch.flush(on_tombstones)
  if logs then logs.flush() end
end

return remove
