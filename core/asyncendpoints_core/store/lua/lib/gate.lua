-- Fair order among keys, and limits: which waiting jobs stand in the ready lines. Of a flow (the jobs
-- of one key, priority and name) one does, by its key's tag; the others are in `gate:keyed`. A flow that a
-- limit holds back is parked under the resource that has the limit: t, j and a name, k and a key.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: record limiting taken_places key_depth
local gate = {sizes = {[0] = 0, 0, 0}, book = taken_places.book, free = taken_places.free}
local queues = {[0] = ready_high, ready_normal, ready_low}
local full, of_job = limiting.full, limiting.of_job
local tags_of, states, moved_tags = {}, {}, {}

local function number(value)
  return string.format('%.17g', value)
end

local function parts_of(flow)
  local at = string.find(flow, '\0', 1, true)
  return ssub(flow, 1, at - 1), sbyte(flow, at + 1) - 48, ssub(flow, at + 2, -2)
end

local function end_of(flow)
  return '(' .. ssub(flow, 1, -2) .. '\1'
end

local function tag(name)
  tags_of[name] = tags_of[name] or tonumber(call('HGET', gate_tags, name) or 0)
  return tags_of[name]
end

local function set_tag(name, to)
  tags_of[name], moved_tags[name] = to, true
end

-- A key's tag: where it stands among the others.
local function tag_of(key, priority)
  return math.max(tag('v' .. priority), tag(priority .. key))
end

local function state(flow)
  if states[flow] == nil then states[flow] = call('HGET', gate_states, flow) end
  return states[flow]
end

local function set_state(flow, to)
  if states[flow] == to then return end
  states[flow] = to
  if to then call('HSET', gate_states, flow, to) else call('HDEL', gate_states, flow) end
end

local function on_line(id, flow, key, priority)
  call('ZADD', queues[priority], number(tag_of(key, priority)), id)
  set_state(flow, '=' .. id)
  gate.sizes[priority] = gate.sizes[priority] + 1
end

local function off_line(id, priority)
  local there = call('ZREM', queues[priority], id) == 1
  if there then gate.sizes[priority] = gate.sizes[priority] - 1 end
  return there
end

-- Puts the next job of a flow in its line.
local function pull(flow)
  local member = call('ZRANGEBYLEX', gate_keyed, '[' .. flow, end_of(flow), 'LIMIT', 0, 1)[1]
  if not member then return set_state(flow, false) end
  local key, priority = parts_of(flow)
  call('ZREM', gate_keyed, member)
  on_line(ssub(member, -layout.IDS.size), flow, key, priority)
end

-- A job that is not at the head of a line may be over before it gets there.
local function note_expiry(id)
  local r = record.decode(call('HGET', jobs, id), call('HGET', runs, id))
  if r and r.started_at == 0 then
    call('ZADD', expiries, r.expires_at > 0 and r.expires_at or r.ttl_from + ttl_ms, id)
  end
  return r
end

-- Puts a job in its flow. Returns whether no limit is known to hold it back.
local function add(id, priority, seq)
  local key, name = of_job(id)
  if not key or not note_expiry(id) then -- the claim finds out why
    call('ZADD', queues[priority], seq, id)
    return true
  end
  key_depth.add(id, key)
  local flow = key .. '\0' .. priority .. name .. '\0'
  local place, before = flow .. spack('>I6', seq), state(flow)
  call('HSET', gate_flows, id, place)
  call('ZADD', gate_order, seq, id)
  if before and sbyte(before) ~= 61 then
    call('ZADD', gate_keyed, 0, place .. id)
    return false
  end
  local head = before and ssub(before, 2)
  local head_place = head and call('HGET', gate_flows, head)
  if head_place and sunpack('>I6', head_place, #flow + 1) < seq then
    call('ZADD', gate_keyed, 0, place .. id)
    return true
  end
  if head_place and off_line(head, priority) then -- a job that was handed back comes before it
    call('ZADD', gate_keyed, 0, head_place .. head)
  end
  on_line(id, flow, key, priority)
  return true
end

-- Takes the place of ZADD for each line. Returns how many jobs a limit holds back.
function gate.add_all(batches)
  local back = 0
  for priority = 0, 2 do
    local b = batches[priority]
    for i = 3, b.n, 2 do
      if not add(b[i + 1], priority, tonumber(b[i])) then back = back + 1 end
    end
    b.n = 2
  end
  return back
end

-- Takes a job out, wherever it waits; the next one of its flow gets its place in the line.
function gate.remove(id)
  local place = call('HGET', gate_flows, id)
  if not place then
    for priority = 0, 2 do off_line(id, priority) end
    return
  end
  call('HDEL', gate_flows, id)
  call('ZREM', gate_order, id)
  call('ZREM', expiries, id)
  if call('ZREM', gate_keyed, place .. id) == 1 then return end
  local flow = ssub(place, 1, -7)
  local _, priority = parts_of(flow)
  if off_line(id, priority) and state(flow) == '=' .. id then pull(flow) end
end

function gate.remove_all(batches)
  for priority = 0, 2 do
    local b = batches[priority]
    for i = 3, b.n do gate.remove(b[i]) end
    b.n = 2
  end
end

local function park(id, flow, priority, resource, why, score)
  local place = call('HGET', gate_flows, id)
  off_line(id, priority)
  call('ZADD', gate_keyed, 0, place .. id)
  if state(flow) == '=' .. id then
    local member = resource .. '\0' .. spack('>d', score) .. flow
    call('ZADD', gate_parked, 0, member)
    set_state(flow, why .. member)
  end
  if why == 'r' then call('ZADD', gate_times, number(limiting.token_at(resource)), resource) end
end

-- Whether the job at the head of a line may start; if not, it does not stand there any more.
function gate.admit(id, priority, score)
  local place = call('HGET', gate_flows, id)
  local key, name = of_job(id)
  if not key then return true end
  local flow = key .. '\0' .. priority .. name .. '\0'
  local now_at = place and tag(priority .. key) or score
  if now_at > score then -- its key has started another since
    call('ZADD', queues[priority], number(now_at), id)
    return false
  end
  for _, resource in ipairs({'k' .. key, 'j' .. name}) do
    local why = full(resource)
    if why then
      if not place then -- it waited before there were keys or limits
        local r = note_expiry(id)
        if not r then return true end
        call('HSET', gate_flows, id, flow .. spack('>I6', r.seq))
        call('ZADD', gate_order, r.seq, id)
        if not state(flow) then set_state(flow, '=' .. id) end
      end
      park(id, flow, priority, resource, why, score)
      return false
    end
  end
  return true
end

-- Whether the total lets no job start.
function gate.closed()
  return full('t') ~= nil
end

-- Whether a job that is in no line may start.
function gate.allows(id)
  local key, name = of_job(id)
  return not key or not (full('t') or full('k' .. key) or full('j' .. name))
end

-- A job left the head of a line: it started, or ended there.
function gate.leave(id, priority, score, started)
  if started then
    local key = taken_places.book(id)
    if key then
      local l = key ~= '' and limiting.of('k' .. key) or {weight = 1}
      set_tag('v' .. priority, math.max(tag('v' .. priority), score))
      set_tag(priority .. key, math.max(tag_of(key, priority), score) + 1 / l.weight)
    end
  end
  gate.remove(id)
end

-- A job stays at the head of a line that cannot be read yet: the next of its flow may start.
function gate.pass(id)
  local place = call('HGET', gate_flows, id)
  if place then pull(ssub(place, 1, -7)) end
end

local function first_parked(resource, count)
  return call('ZRANGEBYLEX', gate_parked, '[' .. resource .. '\0', '(' .. resource .. '\1',
    'LIMIT', 0, count)
end

-- Lets flows go on whose limit has room again. Returns how many.
function gate.unpark()
  local pulled = 0
  for _, resource in ipairs(call('ZRANGEBYSCORE', gate_times, '-inf', now, 'LIMIT', 0, limiting.BOUND)) do
    local free = limiting.room(resource, limiting.BOUND)
    local found = free > 0 and first_parked(resource, free) or {}
    for _, member in ipairs(found) do
      call('ZREM', gate_parked, member)
      local flow = ssub(member, #resource + 10)
      if ssub(state(flow) or '', 2) == member then pull(flow) end
    end
    pulled = pulled + #found
    if not first_parked(resource, 1)[1] or free == 0 and full(resource) ~= 'r' then
      call('ZREM', gate_times, resource)
    elseif free == 0 then
      call('ZADD', gate_times, number(limiting.token_at(resource)), resource)
    end
  end
  return pulled
end

-- Whether flows wait to be looked at now.
function gate.due()
  return call('ZCOUNT', gate_times, '-inf', now) > 0
end

-- When the next limit lets a job start, by time alone; nil when none does.
function gate.next_time()
  if full('t') == 'r' then return limiting.token_at('t') end
  return tonumber(call('ZRANGEBYSCORE', gate_times, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
end

-- Writes the figures. Returns how many places became free that a limit counts.
function gate.flush()
  for resource in pairs(taken_places.opened) do
    local l = limiting.of(resource)
    if l and l.concurrency > 0 and first_parked(resource, 1)[1] then
      call('ZADD', gate_times, now, resource)
    end
  end
  taken_places.write_tokens()
  for name in pairs(moved_tags) do call('HSET', gate_tags, name, number(tags_of[name])) end
  local freed = call('HLEN', gate_limits) > 0 and taken_places.freed or 0
  taken_places.opened, taken_places.freed, moved_tags = {}, 0, {}
  return freed
end

-- Forgets the tags that say no more than V does, some at a time.
local function forget_tags()
  local found = call('HSCAN', gate_tags, call('HGET', gate_cursors, 'tags') or '0', 'COUNT',
    limiting.BOUND)
  call('HSET', gate_cursors, 'tags', found[1])
  for i = 1, #found[2], 2 do
    local name = found[2][i]
    local line = sbyte(name) - 48
    if line >= 0 and line <= 2 and tonumber(found[2][i + 1]) <= tag('v' .. line) then
      call('HDEL', gate_tags, name)
    end
  end
end

-- Returns how many flows go on.
function gate.sweep()
  taken_places.repair()
  gate.flush()
  local pulled = gate.unpark()
  gate.flush()
  taken_places.forget()
  forget_tags()
  return pulled
end

if gated == 0 then return nil end
return gate
