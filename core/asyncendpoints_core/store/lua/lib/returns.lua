-- Jobs that are no longer held: finished, back at their old position, or waiting for a time.
-- LIB: batch record counters events wake_up finish save ready lines due_soon
-- FEATURELIB: gate skips key_depth
local returns = {off_held = batch.new('ZREM', held), queued = 0, soon = 0}
local off_held, on_ready = returns.off_held, nil

function returns.drop_held(id, r)
  batch.add(off_held, record.held_member(id, r))
  if r.cancel_requested_at > 0 then batch.collect('HDEL', cancels, id) end
  if gate and gated == 1 then gate.free(id) end
end

local function wait_again(id, r, state)
  counters.bump(IN_PROGRESS, r.name, -1)
  counters.bump(state, r.name, 1)
  r.state, r.updated_at, r.revision = state, now, r.revision + 1
  events.add(id, r.revision)
  if key_depth then key_depth.add(id) end
end

-- Back to its old position; a suspect waits to run alone.
function returns.requeue(id, r, eligible)
  wait_again(id, r, QUEUED)
  if r.suspect then
    batch.collect('ZADD', suspects, eligible or now, id)
  else
    on_ready = on_ready or batch.each('ZADD', ready)
    batch.add(on_ready[r.priority], r.seq, id)
    if skips then skips.put(r.priority, r.seq) end
  end
  returns.queued = returns.queued + 1
end

function returns.postpone(id, r, delay)
  wait_again(id, r, SCHEDULED)
  r.not_before = now + delay
  if due_soon(delay) then returns.soon = 1 end
  batch.collect('ZADD', delayed, r.not_before, id)
  -- Its time to live may end before it is due: the sweep finds it there.
  if r.started_at == 0 and r.expires_at == 0 then batch.collect('ZADD', expiries, r.ttl_from + ttl_ms, id) end
end

-- Takes the run back: its attempt is not spent, and without user code it never started.
-- Returns true when it had been handed back too often, and is Failed now.
function returns.take_back(id, r, started, charged, outcome)
  if started then finish.run(r, outcome) end
  r.attempt = math.max(0, r.attempt - 1)
  -- Set by runs taken back: it has been started before.
  local ran = r.crashes > 0 or r.releases > 0 or r.suspect
  if not started and r.attempt == 0 and not ran then
    r.started_at = 0
    if r.expires_at > 0 then batch.collect('ZADD', expiries, r.expires_at, id) end
  end
  if not (started and charged) then return false end
  r.releases = r.releases + 1
  if r.releases <= MAX_RELEASES then return false end
  r.error = finish.error_text('never-finished',
    string.format('handed back %d times without ending', r.releases))
  finish.job(id, r, FAILED)
  return true
end

function returns.flush()
  save.flush()
  batch.flush(off_held)
  if on_ready then returns.queued = returns.queued - lines.add(on_ready) end
  batch.flush_collected()
  finish.flush()
  counters.flush()
  if gate then returns.queued = returns.queued + gate.flush() end
  wake_up(returns.queued + returns.soon)
  events.publish()
end

return returns
