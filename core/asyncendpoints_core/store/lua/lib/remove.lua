-- Removal of final jobs: the record and all that hangs on it; a tombstone stays for a while.
local off_jobs, off_blobs = batch('HDEL', jobs), batch('HDEL', blobs)
local removed_runs = batch('HDEL', runs)
local off_results, off_corrupt = batch('HDEL', results), batch('HDEL', corrupt)
local on_gone = batch('ZADD', gone)
local off_finished = {
  [3] = batch('ZREM', finished_completed), [4] = batch('ZREM', finished_failed),
  [5] = batch('ZREM', finished_canceled),
}

local function remove(id, state, name)
  add(off_jobs, id)
  add(removed_runs, id)
  add(off_blobs, id)
  add(off_results, id)
  add(off_corrupt, id)
  add(off_finished[state], id)
  add(on_gone, now, id)
  bump(state, name, -1)
  tally('removed', 1)
  note(id, 0)
end

local function flush_removed()
  for state = 3, 5 do flush(off_finished[state]) end
  flush(off_jobs)
  flush(removed_runs)
  flush(off_blobs)
  flush(off_results)
  flush(off_corrupt)
  flush(on_gone)
end
