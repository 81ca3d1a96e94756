-- Final states: where a finished job is kept, and the end of a run in its history.
local set_finished = {
  [3] = batch('ZADD', finished_completed), [4] = batch('ZADD', finished_failed),
  [5] = batch('ZADD', finished_canceled),
}
local ATTEMPT = '>HHI6I6BH'
local FINAL_TALLY = {[3] = 'completed', [4] = 'failed', [5] = 'canceled'}
local freed = 0
local now_text = string.format('%.0f', now)

local function error_text(code, message, retryable)
  return struct.pack('>BB', retryable and 1 or 0, #code) .. code .. message
end

-- Outcomes: 1 completed, 2 retry, 3 failed, 4 released, 5 recovered, 6 timed-out, 7 canceled.
local function end_run(r, outcome, err)
  err = err or ''
  if r.natt >= 10 then
    r.attempts = string.sub(r.attempts, struct.unpack('>H', r.attempts) + 3)
    r.natt = r.natt - 1
  end
  r.attempts = r.attempts .. struct.pack(ATTEMPT, 17 + #err, r.attempt, r.started, now,
    outcome, #err) .. err
  r.natt = r.natt + 1
  if now > r.started then tally('busy_ms', now - r.started) end
end

-- Puts a job whose state is still the old one into a final state; the caller took it out of its
-- line and writes the record.
local function finish(id, r, state)
  bump(r.state, r.name, -1)
  bump(state, r.name, 1)
  tally(FINAL_TALLY[state], 1)
  r.state, r.completed, r.updated, r.rev, r.suspect = state, now, now, r.rev + 1, false
  freed = freed + r.size
  add(set_finished[state], now_text, id)
  note(id, r.rev)
end

local function flush_finished()
  for state = 3, 5 do
    flush(set_finished[state])
    set_finished[state] = batch('ZADD', set_finished[state][2])
  end
  if freed > 0 then call('HINCRBY', meta, 'bytes', string.format('%.0f', -freed)) end
  freed = 0
end
