-- settle: apply outcomes, each fenced by its claim's number and worker.
-- KEYS: meta jobs results ready:high ready:normal ready:low suspects delayed running held expiries
--   finished:completed finished:failed finished:canceled corrupt cancels counts totals idle bell
--   watch
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: batch time record counts events ring finish corrupt returns
-- ARGV: 1 items of 43 bytes: id, claim, place of its worker, kind, flags, delay, lengths of code,
--   message, result; 2 codes, messages, results one after the other; 3… the workers
-- RETURNS: two bytes for each: a applied, d already, s stale, g gone, c corrupt; state digit or '-'
local ITEM, FORMAT = 43, '>c16I8HBBI8BHI4'
local items, payload = ARGV[1], ARGV[2]
local n = #items / ITEM
local ids = {}
for i = 1, n do ids[i] = ssub(items, (i - 1) * ITEM + 1, (i - 1) * ITEM + 16) end
local stored = call('HMGET', jobs, unpack(ids))
local known = {}
local set_results = batch('HSET', results)
local answers = {}
local COMPLETE, RETRY, FAIL, RELEASE, CANCEL, TIME_OUT = 0, 1, 2, 3, 4, 5

-- Reads a job once, however often the batch names it; false when there is none.
local function load(i, id)
  local r = known[id]
  if r ~= nil then return r end
  local why
  r = false
  if stored[i] then
    r, why = decode(stored[i])
    -- Of a newer format: not ours to settle. Unreadable: the caller has it set aside.
    if why then r = {state = RUNNING, claim = -1, worker = '', why = why} end
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
    if result ~= '' then add(set_results, id, result) end
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

local at = 1
for i = 1, n do
  local id, claim, place, kind, flags, delay, codel, messagel, resultl =
    sunpack(FORMAT, items, (i - 1) * ITEM + 1)
  local worker = ARGV[3 + place]
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
      err = error_text(ssub(payload, at, at + codel - 1),
        ssub(payload, at + codel, at + codel + messagel - 1), floor(flags / 4) % 2 == 1)
    end
    local from = at + codel + messagel
    leave(id, r)
    apply[kind](id, r, delay, err, flags, ssub(payload, from, from + resultl - 1))
    save(id, r)
    answers[i] = 'a' .. r.state
  end
  at = at + codel + messagel + resultl
end
flush(set_results)
flush_returns()
return table.concat(answers)
