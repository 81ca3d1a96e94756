-- Keys and limits, some at a time: forgets what says no more than nothing does, and repairs places.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: record ready limiting taken_places key_tags key_depth gate_data gate parked_flows
-- IF: gated > 0

local function next_of(key, cursor)
  local from = call('HGET', gate_cursors, cursor) or '0'
  if #from > 15 or string.find(from, '%D') or from == '' then from = '0' end -- it cannot be read
  local found = call('HSCAN', key, from, 'COUNT', limiting.BOUND)
  call('HSET', gate_cursors, cursor, found[1])
  return found[2]
end

-- Forgets buckets that are full again, as those are that were never used.
local function forget_buckets()
  local found = next_of(gate_buckets, 'buckets')
  for i = 1, #found, 2 do
    local l = limiting.of(found[i])
    if not l or l.rate <= 0 or limiting.refill(l, found[i + 1]) >= l.burst then
      call('HDEL', gate_buckets, found[i])
    end
  end
end

local function following(key, cursor, first)
  local from = call('HGET', gate_cursors, cursor)
  local members = call('ZRANGEBYLEX', key, from and '(' .. from or first, '+', 'LIMIT', 0,
    limiting.BOUND)
  if #members < limiting.BOUND then
    call('HDEL', gate_cursors, cursor)
  else
    call('HSET', gate_cursors, cursor, members[#members])
  end
  return members
end

-- Compares some flows with the jobs that wait, and some places with those that run, and repairs what
-- differs: nothing does, unless a script was ended half-way or a value was damaged.
local function repair_flows()
  gate_data.write()
  local found = next_of(gate_flows, 'flows')
  for i = 1, #found, 2 do gate.repair_entry(found[i], found[i + 1]) end
  gate_data.write()
  found = next_of(gate_states, 'states')
  for i = 1, #found, 2 do gate.repair_state(found[i], found[i + 1]) end
  gate_data.write()
  local from = call('HGET', gate_cursors, 'keyed') or ''
  from = gate.repair_lost(sbyte(from) == 40 and from or '-')
  if from then call('HSET', gate_cursors, 'keyed', from) else call('HDEL', gate_cursors, 'keyed') end
  gate_data.write()
end

local function repair_places()
  local found = next_of(gate_places, 'places')
  for i = 1, #found, 2 do
    local id, run = found[i], call('HGET', runs, found[i])
    local r, why
    if run then r, why = record.decode_run(run) end
    if not run or r and r.state ~= IN_PROGRESS then
      gate.free(id)
    elseif not why then
      taken_places.repair(id, found[i + 1])
    end
  end
  gate_data.write()
  for _, member in ipairs(following(held, 'held', '[\1')) do
    local id = record.held_id(member)
    if call('HEXISTS', gate_places, id) == 0 then
      local key, name = limiting.of_job(id)
      if key then taken_places.take(id, key, name) end
    end
  end
  gate_data.write()
  for _, member in ipairs(following(gate_usage, 'usage', '-')) do
    if call('HEXISTS', gate_places, ssub(member, -layout.IDS.size)) == 0 then
      call('ZREM', gate_usage, member)
    end
  end
  limiting.count_again()
end

-- Counts the jobs that wait since before their key got a maxDepth: those in lines, behind them, and
-- until a time. One that moves meanwhile is counted by what moves it.
local WAITING = {ready[0], ready[1], ready[2], gate_order, delayed, suspects}
local function count_waiting()
  local at = call('HGET', gate_cursors, 'uncounted')
  if not at then return end
  local from, cursor = string.match(at, '^([0-5]):(%d+)$')
  if cursor and #cursor > 15 then from, cursor = nil, nil end -- it is damaged
  from = tonumber(from or 0)
  local key = WAITING[from + 1]
  local found = call('ZSCAN', key, cursor or '0', 'COUNT', limiting.BOUND)
  for i = 1, #found[2], 2 do
    local id = found[2][i]
    local job = call('HGET', jobs, id)
    local r = job and record.decode(job, call('HGET', runs, id))
    if r and (r.state == QUEUED or r.state == SCHEDULED) then key_depth.add(id) end
  end
  gate_data.write()
  if found[1] == '0' then from = from + 1 end
  if from < #WAITING then
    call('HSET', gate_cursors, 'uncounted', string.format('%d:%s', from, found[1]))
  else
    call('HDEL', gate_cursors, 'uncounted')
  end
end

local function repair_waiting()
  for _, member in ipairs(following(gate_waiting, 'waiting', '-')) do
    local id = ssub(member, -layout.IDS.size)
    local job = call('HGET', jobs, id)
    local r, why
    if job then r, why = record.decode(job, call('HGET', runs, id)) end
    if not job or why == 'corrupt' or r and r.state ~= QUEUED and r.state ~= SCHEDULED then
      call('ZREM', gate_waiting, member)
    end
  end
end

local function repair()
  repair_flows()
  if gated == 1 then repair_places() end
  repair_waiting()
  count_waiting()
end

-- Forgets the tags that say no more than V does, some at a time.
local function forget_tags()
  local found = next_of(gate_tags, 'tags')
  for i = 1, #found, 2 do
    local name = found[i]
    local line, tag = sbyte(name) - 48, tonumber(found[i + 1]) or 0
    if line >= 0 and line <= 2 and not (tag > key_tags.get('v' .. line)) then
      call('HDEL', gate_tags, name)
    end
  end
end

-- Returns how many flows go on.
local function gate_repair()
  repair()
  gate.flush()
  local pulled = parked_flows.unpark()
  gate.flush()
  forget_buckets()
  forget_tags()
  return pulled
end

return gate_repair
