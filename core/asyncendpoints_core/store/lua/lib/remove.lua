-- Removal of final jobs: the record and all that hangs on it; a tombstone stays for a while.
local off_jobs, off_blobs = batch.new('HDEL', jobs), batch.new('HDEL', blobs)
local removed_runs = batch.new('HDEL', runs)
local off_results, off_corrupt = batch.new('HDEL', results), batch.new('HDEL', corrupt)
local on_tombstones = batch.new('ZADD', tombstones)
local off_finished = {
  [3] = batch.new('ZREM', finished_completed), [4] = batch.new('ZREM', finished_failed),
  [5] = batch.new('ZREM', finished_canceled),
}

local function remove(id, state, name)
  batch.add(off_jobs, id)
  batch.add(removed_runs, id)
  batch.add(off_blobs, id)
  batch.add(off_results, id)
  batch.add(off_corrupt, id)
  batch.add(off_finished[state], id)
  batch.add(on_tombstones, now, id)
  bump(state, name, -1)
  tally('removed', 1)
  note(id, 0)
end

local function flush_removed()
  for state = 3, 5 do batch.flush(off_finished[state]) end
  batch.flush(off_jobs)
  batch.flush(removed_runs)
  batch.flush(off_blobs)
  batch.flush(off_results)
  batch.flush(off_corrupt)
  batch.flush(on_tombstones)
end
