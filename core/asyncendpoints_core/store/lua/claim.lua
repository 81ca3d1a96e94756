-- claim: promote what is due, then hand out ready jobs, 6 : 3 : 1 by priority.
-- KEYS: meta jobs runs blobs ready:high ready:normal ready:low suspects delayed held expiries
--   workers marks lastclaim finished:completed finished:failed finished:canceled corrupt counts
--   totals idle bell watch gate:times
-- META: tick safety seq fence cursor paused suspended closed solo_until ttl_ms execution_ms lease_ms
--   completed_ms failed_ms deadline_floor
-- LIB: batch time ready record counters events wake_up corrupt_records queue guard
--   cordons held_count turns next_suspect first_run waits first_due due_in claimable due_soon
-- FEATURELIB: gate gate_data starts parked_flows claim_round pauses skips
-- FEATURES: jobs WEBHOOKS GATE
-- FEATUREMETA: webhook_states webhook_pending gated
-- FLAGS: removes-first
-- ARGV: 1 worker, 2 request number, 3 limit, 4 bytes of bodies at most, 5 '1' when it was woken
-- RETURNS: context; a word: ok gone cordoned draining paused closed; flags more, stop_claiming,
--   exclusive as 1 or 0; next due in ms or -1; ids; for each f (fresh: its run follows from the next two values)
--   or r (its run comes after it), F or R if its body comes last; the first claim number; the
--   deadline of the fresh; then each job, its run unless fresh, and its body if that is kept apart
local worker, request = ARGV[1], tonumber(ARGV[2])
local limit, max_bytes, woken = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local IDLE_MS = 600000 -- until its wait begins, which a handler that blocks its process delays

local lease = tonumber(call('ZSCORE', workers, worker) or 0)
if lease <= now then return {time.context(), 'gone'} end
call('ZREM', idle, worker)
local delayed_at, suspects_at = first_due(delayed), first_due(suspects)
local out, out_ids, kinds = {}, {}, {}
local first, deadline = 0, now + execution_ms
local function reply(word, more, stop_claiming, exclusive)
  local flags = (more and '1' or '0') .. (stop_claiming and '1' or '0') .. (exclusive and '1' or '0')
  return {time.context(), word, flags, string.format('%d', due_in(delayed_at, suspects_at)), table.concat(out_ids),
    table.concat(kinds), string.format('%d', first), string.format('%d', deadline), unpack(out)}
end
local function hand_out_run(id, job, run, apart)
  out_ids[#out_ids + 1], kinds[#kinds + 1] = id, apart and 'R' or 'r'
  out[#out + 1], out[#out + 2] = job, run
  if apart then out[#out + 1] = call('HGET', blobs, id) or '' end
end

local last = call('HGET', last_claims, worker)
if last and #last >= layout.LAST_CLAIM.size then -- else the next claim writes it again
  local asked = request
  local layout.LAST_CLAIM.fields = sunpack(layout.LAST_CLAIM.format, last)
  if asked < request then return reply('ok') end
  if asked == request then
    local claim, exclusive = first, false
    for _, id in ipairs(record.split_ids(ssub(last, layout.LAST_CLAIM.size + 1))) do
      local job, run = call('HGET', jobs, id), call('HGET', runs, id)
      local r = job and run and record.decode_run(run)
      if r and r.state == IN_PROGRESS and r.claim == claim and r.worker == worker then
        exclusive = exclusive or r.suspect
        r.deadline = math.max(r.deadline, deadline_floor) -- extended after an outage
        hand_out_run(id, job, record.encode_run(r), r.body_apart)
      end
      claim = claim + 1
    end
    return reply('ok', false, false, exclusive)
  end
end

-- A refused claim forwards the wake-up that it cannot use.
local function refuse(word)
  if woken then wake_up(math.min(1, claimable())) end
  return reply(word)
end
-- It has room: it may be woken from now on, though its wait begins a moment later.
local function wait_idle()
  call('ZADD', idle, string.format('%d', now + IDLE_MS), worker)
  guard(idle)
end
local mark = call('HMGET', marks, 'd' .. worker, 'c' .. worker)
local why = mark[1] and 'draining' or mark[2] and cordons.last(mark[2]) > 0 and 'cordoned'
if closed + paused > 0 then
  if not why and limit > 0 then wait_idle() end -- until the queue is resumed or reopened
  return refuse(closed > 0 and 'closed' or 'paused')
end
if why then return refuse(why) end

if delayed_at <= now then
  queue.promote()
  delayed_at, suspects_at = first_due(delayed), first_due(suspects)
end
if parked_flows and not parked_flows.closed() then parked_flows.unpark() end

first = math.max(fence + 1, us)
local number = first
local on_runs, on_held = {'HSET', runs}, {'ZADD', held}
local taken, total_bytes, stopped = 0, 0, false
local claimed_names, mine = {}, worker .. '\0'
local passed_seq -- of a job whose name is paused
-- The names that each fresh job needs, as locals.
local active, watched, request_bytes = time.active, events.watched, record.request_bytes
local schar, count_wait = string.char, waits.count
local start, outcome = first_run.start(deadline), first_run.outcome(worker)
local NO_TTL_FROM = first_run.NO_TTL_FROM
local PREFIXES, OPTIONAL, prefix_of = first_run.prefixes, first_run.optional, first_run.prefix_of
local last_size, body_size, last_block, claim_begin = nil, nil, nil, nil -- of the last: many have them in common

-- Any job but a fresh one. Returns whether it left its queue.
local function take_slowly(id, job, run)
  if not job then
    corrupt_records.drop_missing(QUEUED)
    if run then batch.add(queue.off_runs, id) end
    return true
  end
  local r, why = record.decode(job, run)
  if r and run then why = select(2, record.decode_job(job)) end
  if why == 'newer' then return false end
  if why then corrupt_records.keep(id, run and r == nil and run or job, QUEUED, job) return true end
  if r.state ~= QUEUED then return true end -- it is there by a damaged value
  if queue.expired(r) then queue.expire(id, r) return true end
  if pauses and pauses.stopped[r.name] then
    passed_seq = r.seq
    return false
  end
  total_bytes = total_bytes + r.body_size
  stopped = taken > 0 and total_bytes > max_bytes
  if stopped then return false end
  if r.started_at == 0 and (r.expires_at > 0 or r.claim > 0) then batch.add(queue.off_expiries, id) end
  waits.count(now - r.updated_at)
  r.state, r.claim, r.worker = IN_PROGRESS, number, worker
  r.attempt, r.revision = r.attempt + 1, r.revision + 1
  r.updated_at, r.started_at, r.deadline, r.progress = now, now, deadline, ''
  events.add(id, r.revision)
  run = record.encode_run(r)
  hand_out_run(id, job, run, r.body_apart)
  local at = taken * 2 + 4
  on_runs[at - 1], on_runs[at] = id, run
  on_held[at - 1], on_held[at] = '0', mine .. spack(layout.RUN.format.claim, number) .. id
  claimed_names[r.name] = (claimed_names[r.name] or 0) + 1
  taken, number = taken + 1, number + 1
  return true
end

-- Hands out one job, or handles one that cannot run. Returns whether it left its queue.
local function take(id, job, run)
  if not job or run or #job < layout.JOB.size then return take_slowly(id, job, run) end
  local layout.JOB.fields = sunpack(layout.JOB.format, job)
  local kind = format * 256 + flags
  local prefix = PREFIXES[kind] or prefix_of(kind, job)
  if not prefix then return take_slowly(id, job, run) end
  local parts_at, ttl_from, apart, attributes_size = layout.JOB.size + 1, nil, nil, nil
  if OPTIONAL[kind] then
    parts_at, ttl_from, apart, attributes_size = record.job_parts(job, flags)
    if not parts_at then return take_slowly(id, job, run) end
  end
  local request_at = parts_at + layout.JOB.parts_size
  local size = apart or #job - request_at + 1 - request_bytes(job, request_at)
  local name_at = parts_at + layout.JOB.before.name
  local name = ssub(job, name_at, name_at + name_size - 1)
  if #job < request_at or size < 0 or active >= (ttl_from or created_at) + ttl_ms
    or pauses and pauses.of[name] then
    return take_slowly(id, job, run)
  end
  total_bytes = total_bytes + size
  stopped = taken > 0 and total_bytes > max_bytes
  if stopped then return false end
  count_wait(now - created_at)
  if watched then events.add(id, 2) end
  local made = ssub(job, layout.JOB.at.made, layout.JOB.last.made)
  ttl_from = ttl_from and spack(layout.RUN.format.ttl_from, ttl_from) or NO_TTL_FROM
  if size ~= last_size then last_size, body_size = size, spack(layout.RUN.format.body_size, size) end
  local claim_end = number % 256
  if number - claim_end ~= last_block then
    last_block = number - claim_end
    claim_begin = ssub(spack(layout.RUN.format.claim, number), 1, -2)
  end
  claim_end = schar(claim_end)
  run = layout.RUN.join{
    head = prefix, made, ttl_from, start, body_size, claim = claim_begin .. claim_end, outcome, worker, name,
  }
  local at = taken * 2 + 4
  on_runs[at - 1], on_runs[at] = id, run
  on_held[at - 1], on_held[at] = '0', mine .. claim_begin .. claim_end .. id
  claimed_names[name] = (claimed_names[name] or 0) + 1
  taken, number = taken + 1, number + 1
  out_ids[taken], kinds[taken], out[#out + 1] = id, apart and 'F' or 'f', job
  if apart then out[#out + 1] = call('HGET', blobs, id) or '' end
  return true
end

local stop_claiming, exclusive, reserved = false, false, false
local off_suspects = batch.new('ZREM', suspects)
local suspect = suspects_at <= now and next_suspect(off_suspects)
if suspect then
  local holder = call('HGET', meta, 'solo')
  if held_count(worker) == 0 then
    exclusive = take(suspect, call('HGET', jobs, suspect), call('HGET', runs, suspect))
    if exclusive then batch.add(off_suspects, suspect) end
    if gate and taken > 0 then gate.book(suspect) end
    if holder == worker then call('HDEL', meta, 'solo', 'solo_until') end
  elseif holder == worker or exclusive_until <= now then
    reserved = exclusive_until <= now
    call('HSET', meta, 'solo', worker, 'solo_until', string.format('%.0f', now + lease_ms))
    stop_claiming = true
  end
end

local waiting = ready.sizes()
local seen, gone = {[0] = 0, 0, 0}, {[0] = {}, {}, {}}
local examined = 0
local skipped_to, staying = {[0] = 0, 0, 0}, {}
for line = 0, 2 do
  -- With keys or limits the gate holds back what is paused.
  skipped_to[line] = skips and not gate and skips[line] or 0
  if skipped_to[line] > 0 then
    seen[line] = call('ZCOUNT', ready[line], '-inf', skipped_to[line])
    waiting[line] = waiting[line] - seen[line]
  end
end

-- Notes that a job stays in its line: the next claim begins behind those whose name is paused.
local function stay(line)
  if passed_seq and not staying[line] then
    skipped_to[line] = passed_seq
  else
    staying[line] = true
  end
  passed_seq = nil
end

-- Takes the next jobs of one line, which alone has any.
local function take_line(line)
  local from = seen[line]
  local ids = call('ZRANGE', ready[line], from, from + math.min(limit - taken, waiting[line]) - 1)
  local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
  local left, count, leaving = gone[line], 0, #gone[line]
  for i = 1, #ids do
    local moved = take(ids[i], stored[i], ran[i])
    if stopped then break end
    count = count + 1
    if moved then leaving, left[leaving + 1] = leaving + 1, ids[i] else stay(line) end
  end
  turns.advance(line, count)
  seen[line], waiting[line] = from + count, waiting[line] - count
  examined = examined + count
end

-- Takes the next jobs of several lines: first whose turn it is, then one read of each line.
local function take_turns()
  local total = waiting[0] + waiting[1] + waiting[2]
  local order, quota = turns.order(math.min(limit - taken, total), waiting)
  local ids, start = {}, {}
  for line = 0, 2 do
    start[line] = #ids
    if quota[line] > 0 then
      local from = seen[line]
      for _, id in ipairs(call('ZRANGE', ready[line], from, from + quota[line] - 1)) do
        ids[#ids + 1] = id
      end
    end
  end
  local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
  for i = 1, #order do
    local line = order[i]
    local at = start[line] + 1
    start[line] = at
    local moved = take(ids[at], stored[at], ran[at])
    if stopped then break end
    turns.advance(line, 1)
    seen[line], waiting[line] = seen[line] + 1, waiting[line] - 1
    if moved then gone[line][#gone[line] + 1] = ids[at] else stay(line) end
    examined = examined + 1
  end
end

-- Takes the next job of all lines, if key and limits let it start. Returns whether there may be more.
local passed, only, turned = {[0] = 0, 0, 0}, nil, 0
local function turn(line, moved, started)
  if only then turned = turned + 1 else turns.advance(line, 1) end
  if moved then return starts.leave(line, started) end
  passed[line] = passed[line] + 1
  starts.pass(line)
end
local function take_gated()
  local line = only or turns.next_line(waiting, passed)
  if not line or waiting[line] == passed[line] or starts.closed() then return false end
  examined = examined + 1
  local id, job, run = starts.head(line)
  if not id then return true end
  local before = taken
  local moved = take(id, job, run)
  if not stopped then turn(line, moved, taken > before) end
  return not stopped
end

if gate and waiting[0] + waiting[1] + waiting[2] > 0 then only = starts.begin(waiting, limit) end
if only and not (exclusive or stop_claiming) then
  local moved
  turned, moved = claim_round(only, take, out_ids)
  examined = turned
  if moved ~= nil and not stopped then turn(only, moved, false) end
end
while gate and not (exclusive or stop_claiming or stopped)
  and taken < limit and examined < 2 * (limit + queue.LOOK_AHEAD) do
  if not take_gated() then break end
end
if only then turns.advance(only, turned) end
while not (gate or exclusive or stop_claiming or stopped) and taken < limit and examined < limit + queue.LOOK_AHEAD do
  local lines, only = 0, nil
  for line = 0, 2 do
    if waiting[line] > 0 then lines, only = lines + 1, line end
  end
  if lines == 0 then break end
  if lines == 1 then take_line(only) else take_turns() end
end

for line = 0, 2 do
  if skips then skips.set(line, skipped_to[line]) end
  if #gone[line] > 0 then
    if #gone[line] == seen[line] then
      call('ZREMRANGEBYRANK', ready[line], 0, seen[line] - 1)
    else
      call('ZREM', ready[line], unpack(gone[line]))
    end
  end
end
batch.flush(off_suspects)
queue.flush()
if taken > 0 then
  call(unpack(on_runs))
  call(unpack(on_held))
  for name, n in pairs(claimed_names) do
    counters.bump(QUEUED, name, -n)
    counters.bump(IN_PROGRESS, name, n)
  end
  counters.tally('claimed', taken)
  waits.tally()
  call('HSET', meta, 'fence', string.format('%d', number - 1), 'cursor', string.format('%d', cursor))
  call('HSET', last_claims, worker,
    spack(layout.LAST_CLAIM.format, layout.LAST_CLAIM.fields) .. table.concat(out_ids))
end
counters.flush()
events.publish()
local more = waiting[0] + waiting[1] + waiting[2] > passed[0] + passed[1] + passed[2]
if gate then
  gate_data.write()
  more = not parked_flows.closed() and (more or parked_flows.due())
end
-- Of others, only one that was at the doorbell can have been the one to look for what is due soon.
if more or reserved or woken and taken == limit and due_soon(due_in(delayed_at, suspects_at)) then
  wake_up(1)
else
  if exclusive or not suspect then call('DEL', doorbell) end -- nothing is ready: wake-ups are void
  if taken < limit and not (exclusive or stop_claiming) then wait_idle() end
end
return reply('ok', more, stop_claiming, exclusive)
