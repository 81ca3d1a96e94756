-- Jobs that leave `held`: to a final state, back to their old place, or to wait for a time.
local MAX_RELEASES = 20
local off_held = batch('ZREM', held)
local off_cancels = batch('HDEL', cancels)
local on_ready = {
  [0] = batch('ZADD', ready_high), batch('ZADD', ready_normal), batch('ZADD', ready_low),
}
local on_suspects, on_delayed = batch('ZADD', suspects), batch('ZADD', delayed)
local on_expiries = batch('ZADD', expiries)
local returned = 0

local function leave(id, r)
  add(off_held, held_member(id, r))
  if r.cancel_requested_at > 0 then add(off_cancels, id) end
end

local function wait_again(id, r, state)
  bump(RUNNING, r.name, -1)
  bump(state, r.name, 1)
  r.state, r.updated_at, r.revision = state, now, r.revision + 1
  note(id, r.revision)
end

-- Back to its old place; a suspect to where it waits to run alone.
local function requeue(id, r, eligible)
  wait_again(id, r, QUEUED)
  if r.suspect then
    add(on_suspects, eligible or now, id)
  else
    add(on_ready[r.priority], r.seq, id)
  end
  returned = returned + 1
end

local function postpone(id, r, delay)
  wait_again(id, r, SCHEDULED)
  r.not_before = now + delay
  add(on_delayed, r.not_before, id)
  -- Its time to live may end before it is due: the sweep looks for it there.
  if r.started_at == 0 and r.expires_at == 0 then add(on_expiries, r.ttl_from + ttl_ms, id) end
end

-- Takes the run back: its attempt is not spent, and what no user code saw was never started.
-- Returns true when it had been handed back too often, and is Failed now.
local function take_back(id, r, started, charged, outcome)
  if started then end_run(r, outcome) end
  r.attempt = math.max(0, r.attempt - 1)
  -- Taken back runs leave one of these marks: it has been started before.
  local ran = r.crashes > 0 or r.releases > 0 or r.suspect
  if not started and r.attempt == 0 and not ran then
    r.started_at = 0
    if r.expires_at > 0 then add(on_expiries, r.expires_at, id) end
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
  flush(set_runs)
  flush(off_held)
  flush(off_cancels)
  for prio = 0, 2 do flush(on_ready[prio]) end
  flush(on_suspects)
  flush(on_delayed)
  flush(on_expiries)
  flush_finished()
  flush_counts()
  ring(returned)
  publish()
end
