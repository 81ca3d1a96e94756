-- Jobs that are no longer held: finished, back at their old position, or waiting for a time.
local MAX_RELEASES = 20
local off_held = batch.new('ZREM', held)
local off_cancels = batch.new('HDEL', cancels)
local on_ready = {
  [0] = batch.new('ZADD', ready_high), batch.new('ZADD', ready_normal), batch.new('ZADD', ready_low),
}
local on_suspects, on_delayed = batch.new('ZADD', suspects), batch.new('ZADD', delayed)
local on_expiries = batch.new('ZADD', expiries)
local returned = 0

local function drop_held(id, r)
  batch.add(off_held, record.held_member(id, r))
  if r.cancel_requested_at > 0 then batch.add(off_cancels, id) end
end

local function wait_again(id, r, state)
  bump(IN_PROGRESS, r.name, -1)
  bump(state, r.name, 1)
  r.state, r.updated_at, r.revision = state, now, r.revision + 1
  note(id, r.revision)
end

-- Back to its old position; a suspect waits to run alone.
local function requeue(id, r, eligible)
  wait_again(id, r, QUEUED)
  if r.suspect then
    batch.add(on_suspects, eligible or now, id)
  else
    batch.add(on_ready[r.priority], r.seq, id)
  end
  returned = returned + 1
end

local function postpone(id, r, delay)
  wait_again(id, r, SCHEDULED)
  r.not_before = now + delay
  batch.add(on_delayed, r.not_before, id)
  -- Its time to live may end before it is due: the sweep finds it there.
  if r.started_at == 0 and r.expires_at == 0 then batch.add(on_expiries, r.ttl_from + ttl_ms, id) end
end

-- Takes the run back: its attempt is not spent, and without user code it never started.
-- Returns true when it had been handed back too often, and is Failed now.
local function take_back(id, r, started, charged, outcome)
  if started then end_run(r, outcome) end
  r.attempt = math.max(0, r.attempt - 1)
  -- Set by runs taken back: it has been started before.
  local ran = r.crashes > 0 or r.releases > 0 or r.suspect
  if not started and r.attempt == 0 and not ran then
    r.started_at = 0
    if r.expires_at > 0 then batch.add(on_expiries, r.expires_at, id) end
  end
  if not (started and charged) then return false end
  r.releases = r.releases + 1
  if r.releases <= MAX_RELEASES then return false end
  r.error = error_text('never-finished',
    string.format('handed back %d times without ending', r.releases))
  finish(id, r, FAILED)
  return true
end

local function flush_returns()
  batch.flush(set_runs)
  batch.flush(off_held)
  batch.flush(off_cancels)
  for prio = 0, 2 do batch.flush(on_ready[prio]) end
  batch.flush(on_suspects)
  batch.flush(on_delayed)
  batch.flush(on_expiries)
  flush_finished()
  flush_counts()
  wake(returned)
  publish()
end
