-- settle: apply outcomes, each fenced by its claim's number and worker.
-- KEYS: meta jobs runs results ready:high ready:normal ready:low suspects delayed held expiries
--   finished:completed finished:failed finished:canceled cancels counts totals idle bell watch
-- META: tick paused ttl_ms
-- LIB: batch record counts events wake_up finish save returns
-- ARGV: 1 OUTCOME for each; 2 their parts one after the other; 3… the workers
-- RETURNS: two bytes for each: a applied, d already, s stale, g gone, c corrupt; state digit or '-'
local ITEM = layout.OUTCOME_SIZE
local INLINE_RESULT = 1024 -- longer ones lie apart, so that scripts do not carry them to and fro
local items, payload = ARGV[1], ARGV[2]
local n = #items / ITEM
local ids = {}
for i = 1, n do
  local id = layout.outcome_id(items, (i - 1) * ITEM + 1)
  ids[i] = id
end
local stored = call('HMGET', runs, unpack(ids))
local known, completed_now = {}, {}
local set_results = batch.new('HSET', results)
local answers = {}
local COMPLETE, RETRY, FAIL, RELEASE, CANCEL, TIME_OUT = 0, 1, 2, 3, 4, 5

-- Reads a job once, however often the batch has it; false without a record.
local function load(i, id)
  local r = known[id]
  if r ~= nil then return r end
  local why
  local run = completed_now[id] or stored[i]
  r = false
  if run then
    r, why = record.decode_run(run)
    -- A newer format is not settled here; an unreadable one is quarantined by the caller.
    if why then r = {state = IN_PROGRESS, claim = -1, worker = '', why = why} end
  elseif call('HEXISTS', jobs, id) == 1 then
    r = {state = QUEUED, claim = -1, worker = ''} -- never claimed
  end
  known[id] = r
  return r
end

local function cancel(id, r, flags)
  if flags.started then end_run(r, 7) end
  r.error = ''
  finish(id, r, CANCELED)
end

local apply = {
  [COMPLETE] = function(id, r, _, _, _, result)
    end_run(r, 1)
    r.error = ''
    if #result > INLINE_RESULT then batch.add(set_results, id, result) else r.result = result end
    finish(id, r, COMPLETED)
  end,
  [RETRY] = function(id, r, delay, err, flags)
    if r.cancel_requested_at > 0 then return cancel(id, r, flags) end
    end_run(r, 2, err)
    r.error, r.suspect = err, false
    tally('retried', 1)
    postpone(id, r, delay)
  end,
  [FAIL] = function(id, r, _, err)
    end_run(r, 3, err)
    if err ~= '' then r.error = err end
    finish(id, r, FAILED)
  end,
  [RELEASE] = function(id, r, delay, err, flags)
    if r.cancel_requested_at > 0 then return cancel(id, r, flags) end
    tally('released', 1)
    if err ~= '' then r.error = err end
    if take_back(id, r, flags.started, true, 4) then return end
    if delay > 0 then postpone(id, r, delay) else requeue(id, r) end
  end,
  [CANCEL] = function(id, r, _, _, flags) cancel(id, r, flags) end,
  [TIME_OUT] = function(id, r, delay, err, flags)
    if r.cancel_requested_at > 0 then return cancel(id, r, flags) end
    end_run(r, 6, err)
    if err ~= '' then r.error = err end
    r.suspect = false
    tally('timed_out', 1)
    if flags.final then return finish(id, r, FAILED) end
    postpone(id, r, delay)
  end,
}

-- The common case: completed in one of its first runs, without a requested cancel.
-- Only the end of the fixed part and the history change. Returns nothing for any other.
local HEAD = 2 -- format and flags
local completed_run = layout.completed_runs()
local finished, busy, names = 0, 0, {}
local on_runs, on_finished = {'HSET', runs}, {'ZADD', finished_completed}
local entry, entry_attempt, entry_started = '', -1, -1

-- How a completed run begins, by how the running one does; false for one to look at closely.
local PREFIXES = {}
local function prefix_of(head, run)
  local r = record.decode_run(run)
  if not r then return false end
  PREFIXES[head] = false
  if r.state == IN_PROGRESS and not r.suspect then
    r.state = COMPLETED
    PREFIXES[head] = ssub(record.encode_run(r), 1, HEAD)
  end
  return PREFIXES[head]
end

local function complete(id, run, claim, worker, result)
  if not run or #run < layout.RUN_SIZE then return end
  local head = ssub(run, 1, HEAD)
  local prefix = PREFIXES[head]
  if prefix == nil then prefix = prefix_of(head, run) end
  if not prefix then return end
  local attempt, started, cancel, size, current, revision, count, error_size, progress_size,
    history_size, worker_size, holder, name, result_at = layout.read_running(run)
  if current ~= claim or cancel > 0 or error_size > 0 or progress_size > 0 or count > 9
    or #run ~= result_at - 1 or holder ~= worker then
    return
  end
  if attempt ~= entry_attempt or started ~= entry_started then
    entry_attempt, entry_started = attempt, started
    entry = layout.pack_attempt(layout.ATTEMPT_REST, attempt, started, now, 1, 0)
  end
  freed = freed + size
  if now > started then busy = busy + now - started end
  names[name] = (names[name] or 0) + 1
  if listening then note(id, revision + 1) end
  off_held.n = off_held.n + 1
  off_held[off_held.n] = worker .. '\0' .. layout.pack_held(claim, id)
  local completed = completed_run(run, prefix, revision, count, history_size, worker_size, name,
    entry, result, now)
  finished = finished + 1
  local at = finished * 2 + 2
  on_runs[at - 1], on_runs[at] = id, completed
  on_finished[at - 1], on_finished[at] = now_text, id
  completed_now[id] = completed
  return true
end

local parts_at = 1
for i = 1, n do
  local id, claim, worker_index, kind, delay, code_size, message_size, result_size, code_at,
    message_at, result_at, next_at = layout.read_outcome(items, (i - 1) * ITEM + 1, parts_at)
  local worker = ARGV[3 + worker_index]
  local result = ssub(payload, result_at, result_at + result_size - 1)
  if kind == COMPLETE and result_size <= INLINE_RESULT and not completed_now[id] and not known[id]
    and complete(id, stored[i], claim, worker, result) then
    answers[i] = 'a3'
  else
    local r = load(i, id)
    if not r then
      answers[i] = 'g-'
    elseif r.why == 'corrupt' then
      answers[i] = 'c4'
    elseif r.claim ~= claim or r.worker ~= worker then
      tally('stale', 1)
      answers[i] = 's' .. r.state
    elseif r.state ~= IN_PROGRESS then
      answers[i] = 'd' .. r.state
    else
      local err = ''
      local started, final, retryable, has_error =
        layout.outcome_flags(items, (i - 1) * ITEM + 1)
      if has_error then
        err = error_text(ssub(payload, code_at, code_at + code_size - 1),
          ssub(payload, message_at, message_at + message_size - 1), retryable)
      end
      drop_held(id, r)
      apply[kind](id, r, delay, err, {started = started, final = final}, result)
      save(id, r)
      answers[i] = 'a' .. r.state
    end
  end
  parts_at = next_at
end
if finished > 0 then
  for name, count in pairs(names) do
    bump(IN_PROGRESS, name, -count)
    bump(COMPLETED, name, count)
  end
  tally('completed', finished)
  tally('busy_ms', busy)
  call(unpack(on_finished))
  call(unpack(on_runs))
end
batch.flush(set_results)
flush_returns()
return table.concat(answers)
