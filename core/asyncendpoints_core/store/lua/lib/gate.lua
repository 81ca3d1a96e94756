-- Fair order among keys, and limits: which waiting jobs stand in the ready lines. Of a flow (the jobs
-- of one key, priority and name) one does, by its key's tag; the others are in `gate:keyed`. A flow that a
-- limit holds back is parked under the resource that has the limit: t, j and a name, k and a key.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: record limiting taken_places key_depth gate_data gate_lines key_tags
local gate = {free = taken_places.free, load_places = taken_places.load}
local full, of_job = limiting.full, limiting.of_job
local flows, states = gate_data.hash(gate_flows), gate_data.hash(gate_states)
local keyed, order = gate_data.collect('ZADD', 'ZREM', gate_keyed),
  gate_data.collect('ZADD', 'ZREM', gate_order)
local ends = gate_data.collect('ZADD', 'ZREM', expiries)
local parts_of, flow_of, tag, tag_of = key_tags.parts_of, key_tags.flow_of, key_tags.get, key_tags.of
local expected, read_ahead = {}, {}

local function number(value)
  return string.format('%.17g', value)
end

local function end_of(flow)
  return '(' .. ssub(flow, 1, -2) .. '\1'
end

-- What is known of the heads of lines is read in one go.
function gate_lines.read_ahead(ids)
  flows.load(ids)
  local resources, tags, of_flows = {}, {}, {}
  for _, id in ipairs(ids) do
    local place = flows.get(id)
    if place then
      local flow = flow_of(place)
      local of = parts_of(flow)
      of_flows[#of_flows + 1], tags[#tags + 1] = flow, of.finish
      resources[#resources + 1], resources[#resources + 2] = of.resources[1], of.resources[2]
    end
  end
  states.load(of_flows)
  key_tags.load(tags)
  limiting.load(resources)
end

local function on_line(id, flow)
  local of = parts_of(flow)
  gate_lines.put(of.priority, id, tag_of(of))
  states.set(flow, '=' .. id)
end

-- The next job of a flow behind the one in its line, as a member of `gate:keyed`; several are read when
-- one call takes several.
local function next_of(flow)
  local ahead = read_ahead[flow] or {at = 1, n = 0, most = 1}
  read_ahead[flow] = ahead
  if ahead.at > ahead.n and not ahead.ended then
    local members = call('ZRANGEBYLEX', gate_keyed, ahead.last or '[' .. flow, end_of(flow),
      'LIMIT', 0, ahead.most)
    ahead.members, ahead.at, ahead.n, ahead.ended = members, 1, #members, #members < ahead.most
    if #members > 1 then
      local ids = {}
      for i, member in ipairs(members) do ids[i] = ssub(member, -layout.IDS.size) end
      flows.load(ids)
      gate_lines.read(ids)
    end
    ahead.last, ahead.most = '(' .. (members[#members] or ''), math.min(64, 4 * ahead.most)
  end
  ahead.at = ahead.at + 1
  return ahead.at - 1 <= ahead.n and ahead.members[ahead.at - 1]
end

-- Puts the next job of a flow in its line.
local function pull(flow)
  local member = next_of(flow)
  if not member then return states.set(flow, false) end
  keyed[member] = false
  on_line(ssub(member, -layout.IDS.size), flow)
end

-- A job that is not at the head of a line may be over before it gets there.
local function note_expiry(id)
  local r = record.decode(call('HGET', jobs, id), call('HGET', runs, id))
  if r and r.started_at == 0 then
    ends[id] = r.expires_at > 0 and r.expires_at or r.ttl_from + ttl_ms
  end
  return r
end

-- What is known of a new job before it is added.
function gate.expect(id, key, name, ends_at)
  expected[id] = {key = key, name = name}
  ends[id] = ends_at
end

-- The key and the name of a job that begins to wait; nil when it cannot be read.
local function begin(id)
  local known = expected[id]
  if known then return known.key, known.name end
  local key, name = of_job(id)
  if not key or not note_expiry(id) then return nil end
  key_depth.add(id, key)
  return key, name
end

gate_data.on_write(function() read_ahead = {} end)

-- Puts a job in its flow. Returns whether no limit is known to hold it back.
local function add(id, priority, seq)
  local key, name = begin(id)
  if not key then -- the claim finds out why
    gate_lines.put(priority, id, seq)
    return true
  end
  local flow = key .. '\0' .. priority .. name .. '\0'
  local place, before = flow .. spack('>I6', seq), states.get(flow)
  flows.set(id, place)
  order[id] = seq
  if before and sbyte(before) ~= 61 then
    keyed[place .. id] = 0
    return false
  end
  local head = before and ssub(before, 2)
  local head_place = head and flows.get(head)
  if head_place and sunpack('>I6', head_place, #flow + 1) < seq then
    keyed[place .. id] = 0
    return true
  end
  if head_place then
    gate_data.write()
    if gate_lines.remove(priority, head) then -- a job that was handed back comes before it
      keyed[head_place .. head] = 0
    end
  end
  on_line(id, flow)
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
  gate_data.write()
  return back
end

-- Takes a job out, wherever it waits; the next one of its flow gets its place in the line.
local function take_out(id)
  gate_data.write()
  local place = flows.get(id)
  if not place then
    for priority = 0, 2 do gate_lines.remove(priority, id) end
    return
  end
  flows.set(id, false)
  order[id], ends[id] = false, false
  if call('ZREM', gate_keyed, place .. id) == 1 then return end
  local flow = flow_of(place)
  local there = gate_lines.remove(parts_of(flow).priority, id)
  if there and states.get(flow) == '=' .. id then pull(flow) end
end

function gate.remove(id)
  take_out(id)
  gate_data.write()
end

function gate.remove_all(batches)
  for priority = 0, 2 do
    local b = batches[priority]
    for i = 3, b.n do take_out(b[i]) end
    b.n = 2
  end
  gate_data.write()
end

-- The first job of a line, and its score; and what is stored of a job.
gate.head, gate.stored, gate.begin = gate_lines.head, gate_lines.stored, gate_lines.begin

local function park(id, flow, resource, why, score)
  local place = flows.get(id)
  gate_lines.pass(parts_of(flow).priority)
  keyed[place .. id] = 0
  if states.get(flow) == '=' .. id then
    local member = resource .. '\0' .. spack('>d', score) .. flow
    call('ZADD', gate_parked, 0, member)
    states.set(flow, why .. member)
  end
  if why == 'r' then call('ZADD', gate_times, number(limiting.token_at(resource)), resource) end
end

-- Whether the job at the head of a line may start; if not, it does not stand there any more.
function gate.admit(id, priority, score)
  local place, flow = flows.get(id), nil
  if place then
    flow = flow_of(place)
  else
    local key, name = of_job(id)
    if not key then return true end
    flow = key .. '\0' .. priority .. name .. '\0'
  end
  local of = parts_of(flow)
  local now_at = place and tag(of.finish) or score
  if now_at > score then -- its key has started another since
    gate_lines.pass(priority)
    gate_lines.put(priority, id, now_at)
    return false
  end
  for _, resource in ipairs(of.resources) do
    local why = full(resource)
    if why then
      if not place then -- it waited before there were keys or limits
        local r = note_expiry(id)
        if not r then return true end
        flows.set(id, flow .. spack('>I6', r.seq))
        order[id] = r.seq
        if not states.get(flow) then states.set(flow, '=' .. id) end
      end
      park(id, flow, resource, why, score)
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

-- A job that was in no line starts.
function gate.book(id)
  local key, name = of_job(id)
  if key then taken_places.book(id, key, name) end
end

-- The key of a job that starts moves on, and V with it.
local function start(id, of, score)
  taken_places.book(id, of.key, of.name)
  local l = of.key ~= '' and limiting.of(of.resources[1])
  key_tags.start(of, score, l and l.weight or 1)
end

-- The job at the head of a line left it: it started, or ended there.
function gate.leave(id, priority, score, started)
  local place = flows.get(id)
  gate_lines.pass(priority)
  if not place then
    local key, name = of_job(id)
    if started and key then start(id, parts_of(key .. '\0' .. priority .. name .. '\0'), score) end
    return
  end
  local flow = flow_of(place)
  if started then start(id, parts_of(flow), score) end
  flows.set(id, false)
  order[id], ends[id] = false, false
  if states.get(flow) == '=' .. id then pull(flow) end
end

-- A job stays at the head of a line that cannot be read yet: the next of its flow may start.
function gate.pass(id, priority)
  local place = flows.get(id)
  gate_lines.pass(priority, true)
  if place then pull(flow_of(place)) end
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
      local flow = ssub(member, #resource + 10)
      if ssub(states.get(flow) or '', 2) == member then pull(flow) end
    end
    if #found > 0 then call('ZREM', gate_parked, unpack(found)) end
    pulled = pulled + #found
    if not first_parked(resource, 1)[1] or free == 0 and full(resource) ~= 'r' then
      call('ZREM', gate_times, resource)
    elseif free == 0 then
      call('ZADD', gate_times, number(limiting.token_at(resource)), resource)
    end
  end
  if pulled > 0 then gate_data.write() end
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

-- Writes what changed. Returns how many places became free that a limit counts.
function gate.flush()
  local opened, parked = taken_places.opened, nil
  for resource in pairs(opened) do
    local l = limiting.of(resource)
    if parked == nil then parked = call('ZCARD', gate_parked) > 0 end
    if parked and l and l.concurrency > 0 and first_parked(resource, 1)[1] then
      call('ZADD', gate_times, now, resource)
    end
  end
  gate_data.write()
  local freed = taken_places.freed
  taken_places.opened, taken_places.freed = {}, 0
  return freed > 0 and call('HLEN', gate_limits) > 0 and freed or 0
end

-- Returns how many flows go on.
function gate.sweep()
  taken_places.repair()
  gate.flush()
  local pulled = gate.unpark()
  gate.flush()
  taken_places.forget()
  key_tags.forget()
  return pulled
end

if gated == 0 then return nil end
return gate
