-- settle: apply outcomes, each fenced by its claim's number and worker.
-- KEYS: meta jobs runs results ready:high ready:normal ready:low suspects delayed held expiries
--   finished:completed finished:failed finished:canceled cancels counts totals idle bell watch
-- META: tick paused ttl_ms
-- LIB: batch record counts events ring finish save returns
-- ARGV: 1 items of 43 bytes: id, claim, place of its worker, kind, flags, delay, lengths of code,
--   message, result; 2 codes, messages, results one after the other; 3… the workers
-- RETURNS: two bytes for each: a applied, d already, s stale, g gone, c corrupt; state digit or '-'
local ITEM, FORMAT = 43, '>I8HBBI8BHI4' -- after the id
local INLINE_RESULT = 1024 -- longer ones lie apart, so that scripts do not carry them to and fro
local items, payload = ARGV[1], ARGV[2]
local n = #items / ITEM
local ids = {}
for i = 1, n do ids[i] = ssub(items, (i - 1) * ITEM + 1, (i - 1) * ITEM + 16) end
local stored = call('HMGET', runs, unpack(ids))
local known, completed_now = {}, {}
local set_results = batch('HSET', results)
local answers = {}
local COMPLETE, RETRY, FAIL, RELEASE, CANCEL, TIME_OUT = 0, 1, 2, 3, 4, 5

-- Reads a job once, however often the batch names it; false when there is none.
local function load(i, id)
  local r = known[id]
  if r ~= nil then return r end
  local why
  local run = completed_now[id] or stored[i]
  r = false
  if run then
    r, why = decode_run(run)
    -- Of a newer format: not ours to settle. Unreadable: the caller has it set aside.
    if why then r = {state = RUNNING, claim = -1, worker = '', why = why} end
  elseif call('HEXISTS', jobs, id) == 1 then
    r = {state = QUEUED, claim = -1, worker = ''} -- never claimed
  end
  known[id] = r
  return r
end

local function cancel(id, r, flags)
  if flags % 2 == 1 then end_run(r, 7) end
  r.error = ''
  finish(id, r, CANCELED)
end

local apply = {
  [COMPLETE] = function(id, r, _, _, _, result)
    end_run(r, 1)
    r.error = ''
    if #result > INLINE_RESULT then add(set_results, id, result) else r.result = result end
    finish(id, r, COMPLETED)
  end,
  [RETRY] = function(id, r, delay, err, flags)
    if r.cancel > 0 then return cancel(id, r, flags) end
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
    if r.cancel > 0 then return cancel(id, r, flags) end
    tally('released', 1)
    if err ~= '' then r.error = err end
    if take_back(id, r, flags % 2 == 1, true, 4) then return end
    if delay > 0 then postpone(id, r, delay) else requeue(id, r) end
  end,
  [CANCEL] = function(id, r, _, _, flags) cancel(id, r, flags) end,
  [TIME_OUT] = function(id, r, delay, err, flags)
    if r.cancel > 0 then return cancel(id, r, flags) end
    end_run(r, 6, err)
    if err ~= '' then r.error = err end
    r.suspect = false
    tally('timed_out', 1)
    if floor(flags / 2) % 2 == 1 then return finish(id, r, FAILED) end
    postpone(id, r, delay)
  end,
}

-- The commonest outcome of the commonest job: completed, in its first runs, nothing asked of it.
-- Only the end of the fixed part and the history change. Returns nothing for any other.
local PREFIXES = {}
for bits = RUNNING, 255, 16 do
  if bits % 128 < 64 then
    PREFIXES[string.char(KIND + VERSION, bits)] =
      string.char(KIND + VERSION, bits - RUNNING + COMPLETED)
  end
end
local NAME_AT, FENCED, FENCED_AT, CHANGING = 16, '>HI6I6I4I7I4I6I6BHHHB', 43, '>I4I6I6BHHHB'
local finished, busy, names = 0, 0, {}
local on_runs, on_finished = {'HSET', runs}, {'ZADD', finished_completed}
local history, history_attempt, history_started = '', -1, -1
local changed, changed_rev, changed_al, changed_wl = '', -1, -1, -1

local function complete(id, run, claim, worker, result)
  local prefix = run and PREFIXES[ssub(run, 1, 2)]
  if not prefix or #run < RUN_BYTES then return end
  local attempt, started, cancel, size, current, rev, _, _, natt, el, pl, al, wl =
    sunpack(FENCED, run, FENCED_AT)
  local name_at = RUN_BYTES + 1 + wl + al
  local nl = sbyte(run, NAME_AT)
  if current ~= claim or cancel > 0 or el > 0 or pl > 0 or natt > 9 or #run ~= name_at + nl - 1
    or ssub(run, RUN_BYTES + 1, RUN_BYTES + wl) ~= worker then
    return
  end
  if attempt ~= history_attempt or started ~= history_started then
    history_attempt, history_started = attempt, started
    history = spack(ATTEMPT, 17, attempt, started, now, 1, 0)
  end
  if rev ~= changed_rev or al ~= changed_al or wl ~= changed_wl then
    changed_rev, changed_al, changed_wl = rev, al, wl
    changed = spack(CHANGING, rev + 1, now, now, natt + 1, 0, 0, al + 19, wl)
  end
  freed = freed + size
  if now > started then busy = busy + now - started end
  local name = ssub(run, name_at)
  names[name] = (names[name] or 0) + 1
  if listening then note(id, rev + 1) end
  off_held.n = off_held.n + 1
  off_held[off_held.n] = worker .. '\0' .. ssub(run, 61, 67) .. id
  run = prefix .. ssub(run, 3, 67) .. changed .. ssub(run, RUN_BYTES + 1, name_at - 1) .. history
    .. name .. result
  finished = finished + 1
  local at = finished * 2 + 2
  on_runs[at - 1], on_runs[at] = id, run
  on_finished[at - 1], on_finished[at] = now_text, id
  completed_now[id] = run
  return true
end

local at = 1
for i = 1, n do
  local id = ids[i]
  local claim, place, kind, flags, delay, codel, messagel, resultl =
    sunpack(FORMAT, items, (i - 1) * ITEM + 17)
  local worker = ARGV[3 + place]
  local from = at + codel + messagel
  local result = ssub(payload, from, from + resultl - 1)
  if kind == COMPLETE and resultl <= INLINE_RESULT and not completed_now[id] and not known[id]
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
    elseif r.state ~= RUNNING then
      answers[i] = 'd' .. r.state
    else
      local err = ''
      if floor(flags / 8) % 2 == 1 then
        err = error_text(ssub(payload, at, at + codel - 1), ssub(payload, at + codel, from - 1),
          floor(flags / 4) % 2 == 1)
      end
      leave(id, r)
      apply[kind](id, r, delay, err, flags, result)
      save(id, r)
      answers[i] = 'a' .. r.state
    end
  end
  at = from + resultl
end
if finished > 0 then
  for name, count in pairs(names) do
    bump(RUNNING, name, -count)
    bump(COMPLETED, name, count)
  end
  tally('completed', finished)
  tally('busy_ms', busy)
  call(unpack(on_finished))
  call(unpack(on_runs))
end
flush(set_results)
flush_returns()
return table.concat(answers)
