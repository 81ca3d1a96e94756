-- fire: decide on one time of a schedule, or on a job of it that a person requests (due_ms 0):
-- create its job, or say why not. A requested one leaves the schedule's times as they are.
-- KEYS: meta jobs runs blobs ready:high ready:normal ready:low suspects delayed expiries
--   finished:completed finished:failed finished:canceled cancels counts totals idle bell watch
-- META: tick safety seq bytes paused suspended closed max_depth max_bytes ttl_ms completed_ms
--   failed_ms
-- LIB: batch ready record counters events wake_up canceling new_job schedule lines
-- FEATURES: schedules fired WEBHOOKS GATE
-- FEATUREMETA: webhook_states webhook_pending gated
-- FLAGS: deny-oom
-- ARGV: 1 FIRING; 2 NEW_JOB; 3 its parts
-- RETURNS: c created, m missed (past its deadline), s skipped (an earlier job is unfinished), d done
--   before, o other definition, u outdated (not due, or another time is, or there are more earlier jobs
--   than a call looks at), f full, x closed; now
local FORBID, REPLACE, BOUND, AHEAD = 1, 2, 100, 10

local function read_firing(s)
  local f = {schedule = ssub(s, layout.FIRING.size + 1)}
  layout.FIRING.fields(f) = sunpack(layout.FIRING.format, s)
  return f
end

local firing = read_firing(ARGV[1])
local name, r = firing.schedule, nil
local layout.NEW_JOB.fields = sunpack(layout.NEW_JOB.format, ARGV[2])
local stored = call('HGET', schedules, name)
if stored then r = schedule.read(stored) end

if call('HEXISTS', jobs, id) == 1 then return {'c', now} end
if not r or r.removed_ms > 0 or r.hash ~= firing.hash then return {'o', now} end
local requested = firing.due_ms == 0
if not requested then
  if firing.due_ms <= r.last_ms then return {'d', now} end
  local passed = firing.next_ms > 0 and firing.next_ms <= now
  if now < firing.due_ms or passed or r.last_ms ~= firing.seen_ms then return {'u', now} end
end

-- The time is over: it and those before it are never decided again.
local off_fired = batch.new('ZREM', fired)
local function decide(letter)
  batch.flush(off_fired)
  if requested then return {letter, now} end
  r.last_ms = firing.due_ms
  local missed = firing.missed + (letter == 'm' and 1 or 0)
  if missed > 0 then r.missed, r.missed_ms = r.missed + missed, now end
  if letter == 's' then r.skipped, r.skipped_ms = r.skipped + 1, now end
  if letter == 'c' then r.fired_ms = firing.due_ms end
  schedule.write(name, r)
  return {letter, now}
end

if firing.deadline_ms > 0 and now > firing.deadline_ms then return decide('m') end
if closed > 0 then return {'x', now} end

-- The earlier jobs, NUL before their ids; behind them, 1 before theirs, those whose cancel was
-- requested and that still run. What is final leaves `fired`. One that cannot be read ends as Failed.
local unfinished, replace = {}, firing.concurrency == REPLACE
local on_fired = batch.new('ZADD', fired)
local last = '[' .. name .. '\0'

local function page(to)
  local members = call('ZRANGEBYLEX', fired, last, '(' .. name .. to, 'LIMIT', 0, BOUND)
  if #members > 0 then last = '(' .. members[#members] end
  return members
end

local function read(member)
  local earlier = ssub(member, #name + 2)
  local job = call('HGET', jobs, earlier)
  if not job then return earlier end
  return earlier, record.decode(job, call('HGET', runs, earlier))
end

-- Puts a job that a Replace has no more to do with behind the others.
local function set_behind(member, earlier)
  batch.add(off_fired, member)
  batch.add(on_fired, 0, name .. '\1' .. earlier)
end

local function look_at(member)
  local earlier, run, why = read(member)
  if why == 'newer' then
    if replace then set_behind(member, earlier) else unfinished[#unfinished + 1] = {earlier} end
  elseif not run or run.state > IN_PROGRESS then
    batch.add(off_fired, member)
  elseif replace and run.cancel_requested_at > 0 then
    set_behind(member, earlier)
  else
    unfinished[#unfinished + 1] = {earlier, run, member}
  end
end

local members = page(replace and '\1' or '\2')
local more = #members == BOUND
for _, member in ipairs(members) do look_at(member) end
if firing.concurrency == FORBID and #unfinished > 0 then return decide('s') end
batch.flush(on_fired)
batch.flush(off_fired)
-- There may be more of them than one call looks at: the next call goes on where this one ends.
if more and firing.concurrency == FORBID then return {'u', now} end

local waiting = ready.sizes()
local depth = waiting[0] + waiting[1] + waiting[2] + call('ZCARD', suspects)
  + call('ZCARD', delayed) + lines.behind()
local freed, freed_bytes = 0, 0
local function free(run)
  if run and run.state < IN_PROGRESS then
    freed, freed_bytes = freed + 1, freed_bytes + run.body_size
  end
end
local function is_full()
  return depth - freed >= max_depth or bytes - freed_bytes + body_size > max_bytes
end

if replace then
  for _, entry in ipairs(unfinished) do free(entry[2]) end
  -- Those that later calls cancel leave room as well, as far as is looked ahead: nothing is canceled
  -- for a job that gets none.
  local pages, further = 1, more
  while further and is_full() and pages < AHEAD do
    local following = page('\1')
    for _, member in ipairs(following) do
      local _, run = read(member)
      free(run)
    end
    pages, further = pages + 1, #following == BOUND
  end
  if is_full() and not further then return {'f', now} end
elseif is_full() then
  return {'f', now}
end
if safety > 0 then return redis.error_reply('AEPTIMER at rest') end

if replace then
  for _, entry in ipairs(unfinished) do
    canceling.job(entry[1], entry[2])
    if entry[2].state == IN_PROGRESS then
      set_behind(entry[3], entry[1])
    else
      batch.add(off_fired, entry[3])
    end
  end
  canceling.flush()
  batch.flush(on_fired)
  batch.flush(off_fired)
  if more then
    counters.flush()
    events.publish()
    return {'u', now}
  end
  last = '[' .. name .. '\1'
  for _, member in ipairs(page('\2')) do
    local earlier = ssub(member, #name + 2)
    if call('HEXISTS', cancels, earlier) == 0 then
      local _, run, why = read(member)
      if why ~= 'newer' and not (run and run.state <= IN_PROGRESS) then batch.add(off_fired, member) end
    end
  end
end

local function part(at, size)
  return ssub(ARGV[3], at + 1, at + size)
end
local content = part(layout.NEW_JOB.before.content, content_size)
local blob = blob_size > 0 and part(layout.NEW_JOB.before.blob, blob_size) or nil
local job_name = ssub(content, layout.JOB.before.name + 1, layout.JOB.before.name + name_size)
local text = string.format('%.0f', seq + 1)
call('HSET', jobs, id, new_job(priority, seq + 1, max_attempts, name_size, trace_size,
  attributes_size, blob) .. content)
if blob then call('HSET', blobs, id, blob) end
local on_ready = batch.each('ZADD', ready)
batch.add(on_ready[priority], text, id)
local held_back = lines.add(on_ready)
call('ZADD', fired, 0, name .. '\0' .. id)
call('HSET', meta, 'seq', text)
call('HINCRBY', meta, 'bytes', string.format('%.0f', body_size))
counters.bump(QUEUED, job_name, 1)
counters.tally('created', 1)
counters.flush()
events.add(id, 1)
wake_up(1 - held_back)
events.publish()
return decide('c')
