-- Fair order among keys, and limits: which waiting jobs stand in the ready lines. Of a flow (the jobs
-- of one key, priority and name) one does, by its key's tag; the others are in `gate:keyed`. A flow that a
-- limit holds back is parked under the resource that has the limit: t, j and a name, k and a key.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: ready record limiting taken_places key_depth gate_data key_tags flow_states
--   first_parked
-- IF: gated > 0
-- LAZY: flush
local gate = {
  free = taken_places.free, free_all = taken_places.free_all, load_places = taken_places.load,
}
local number, full, of_job = gate_data.text, limiting.full, limiting.of_job
local flows = gate_data.hash(gate_flows)
local keyed, order = gate_data.collect('ZADD', 'ZREM', gate_keyed),
  gate_data.collect('ZADD', 'ZREM', gate_order)
local to = {}
for line = 0, 2 do to[line] = gate_data.collect('ZADD', 'ZREM', ready[line]) end
local parts_of, flow_of, tag_of = key_tags.parts_of, key_tags.flow_of, key_tags.of
local expected = {}
local DIGITS = {[0] = '0', '1', '2'}

local function read_waiting(id)
  return (record.decode(call('HGET', jobs, id), call('HGET', runs, id)))
end

-- The entry of a job in `gate:flows`, by its record; nil when that cannot be read.
local function entry_of(id)
  local key, name = of_job(id)
  local r = key and read_waiting(id)
  return r and key .. '\0' .. DIGITS[r.priority] .. name .. '\0' .. spack(layout.FLOW_END.format, r.seq)
end

-- The entry of a job; that by its record when it cannot be read.
local function read_entry(id)
  local entry = flows.get(id)
  return entry and (parts_of(flow_of(entry)) and entry or entry_of(id))
end
gate.entry_of = entry_of

local function end_of(flow)
  return '(' .. ssub(flow, 1, -2) .. '\1'
end

-- A job stands in a line, no longer behind another as `member`.
function gate.stand(line, id, score, member)
  to[line][id] = number(score)
  if member then keyed[member] = false end
end

local function on_line(id, flow)
  local of = parts_of(flow)
  gate.stand(of.priority, id, tag_of(of))
  flow_states.set(flow, '=' .. id)
end

-- Puts the next job of a flow in its line.
function gate.pull(flow)
  local member = call('ZRANGEBYLEX', gate_keyed, '[' .. flow, end_of(flow), 'LIMIT', 0, 1)[1]
  if not member then return flow_states.set(flow, false) end
  keyed[member] = false
  on_line(ssub(member, -layout.IDS.size), flow)
end

-- What is known of a new job before it is added.
function gate.expect(id, key, name)
  expected[id] = {key = key, name = name}
end

-- The key and the name of a job that begins to wait; nil when it cannot be read.
local function begin(id)
  local known = expected[id]
  if known then return known.key, known.name end
  local key, name = of_job(id)
  if not key or not read_waiting(id) then return nil end
  key_depth.add(id, key)
  return key, name
end

-- Puts a job in its flow. Returns whether no limit is known to hold it back.
local function add(id, priority, seq)
  local key, name = begin(id)
  if not key then -- the claim finds out why
    gate.stand(priority, id, seq)
    return true
  end
  local flow = key .. '\0' .. DIGITS[priority] .. name .. '\0'
  local entry, before = flow .. spack(layout.FLOW_END.format, seq), flow_states.get(flow)
  flows.set(id, entry)
  order[id] = string.format('%d', seq)
  if before and sbyte(before) ~= 61 then
    keyed[entry .. id] = '0'
    return false
  end
  local head = before and ssub(before, 2)
  local head_entry = head and flows.get(head)
  if head_entry and #head_entry ~= #flow + layout.FLOW_END.size then
    head_entry = entry_of(head) -- it cannot be read
  end
  local at = head_entry and #head_entry - layout.FLOW_END.size + 1
  if head_entry and sunpack(layout.FLOW_END.format, head_entry, at) < seq then
    keyed[entry .. id] = '0'
    return true
  end
  if head_entry then
    gate_data.write()
    if call('ZREM', ready[priority], head) == 1 then -- a job that was handed back comes before it
      keyed[head_entry .. head] = '0'
    end
  end
  on_line(id, flow)
  return true
end

-- Up to 128 short members are a packed list, which is searched from its head. One of over 64 bytes
-- makes it a skip list, and that it stays until it is empty.
local LONG = string.rep('-', 65)
local function begin_lines(batches)
  for priority = 0, 2 do
    if batches[priority].n > 2 and call('ZCARD', ready[priority]) == 0 then
      call('ZADD', ready[priority], 0, LONG)
      to[priority][LONG] = false
    end
  end
end

-- What is known of the flows of new jobs is read in one go.
local function read_flows(batches)
  local of, heads = {}, {}
  for priority = 0, 2 do
    local b = batches[priority]
    for i = 4, b.n, 2 do
      local known = expected[b[i]]
      local flow = known and known.key .. '\0' .. DIGITS[priority] .. known.name .. '\0'
      if flow and of[#of] ~= flow then of[#of + 1] = flow end
    end
  end
  flow_states.load(of)
  for i = 1, #of do
    local state = flow_states.get(of[i])
    if state and sbyte(state) == 61 then heads[#heads + 1] = ssub(state, 2) end
  end
  flows.load(heads)
end

-- Used instead of ZADD, for each line. Returns how many jobs a limit holds back.
function gate.add_all(batches)
  local back = 0
  begin_lines(batches)
  read_flows(batches)
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

-- Takes out a job that has no entry, or is not where its entry says.
local function search(id)
  local entry = entry_of(id)
  if entry then call('ZREM', gate_keyed, entry .. id) end
  for priority = 0, 2 do call('ZREM', ready[priority], id) end
end

-- Takes a job out, wherever it waits; the next one of its flow takes its position in the line.
local function take_out(id)
  gate_data.write()
  local entry = read_entry(id)
  flows.set(id, false)
  order[id] = false
  if not entry then return search(id) end
  if call('ZREM', gate_keyed, entry .. id) == 1 then return end
  local flow = flow_of(entry)
  local line = parts_of(flow).priority
  if call('ZREM', ready[line], id) == 0 then return search(id) end
  if flow_states.get(flow) == '=' .. id then gate.pull(flow) end
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

-- A job that waited before there were keys or limits gets an entry. Returns whether it can be read.
function gate.adopt(f)
  local key, name = of_job(f.id)
  local r = key and read_waiting(f.id)
  if not r then return false end
  f.flow = key .. '\0' .. f.line .. name .. '\0'
  f.entry = f.flow .. spack(layout.FLOW_END.format, r.seq)
  flows.set(f.id, f.entry)
  order[f.id] = r.seq
  f.owns = not flow_states.get(f.flow)
  return true
end

-- Gives a waiting job the entry that its record says, where `entry` is another.
function gate.repair_entry(id, entry)
  local right = #id == layout.IDS.size and entry_of(id)
  if not right or right == entry then return end
  call('HSET', gate_flows, id, right)
  if call('ZREM', gate_keyed, entry .. id) == 1 then keyed[right .. id] = '0' end
end

-- Whether a flow's job is in its line, or the flow is parked, as its state says.
local function is_so(flow, state)
  local rest = ssub(state, 2)
  if sbyte(state) ~= 61 then
    return ssub(rest, -#flow) == flow and call('ZSCORE', gate_parked, rest)
  end
  local entry, line = read_entry(rest), parts_of(flow).priority
  return entry and flow_of(entry) == flow and call('ZSCORE', ready[line], rest)
end

-- Lets the next job of a flow stand for it where its state is not so.
function gate.repair_state(flow, state)
  if parts_of(flow) and not is_so(flow, state) then gate.pull(flow) end
end

-- The same for flows that have jobs and no state. Returns where the next look begins, nil at the end.
function gate.repair_lost(from)
  for _ = 1, limiting.BOUND do
    local member = call('ZRANGEBYLEX', gate_keyed, from, '+', 'LIMIT', 0, 1)[1]
    if not member then return nil end
    local flow = flow_of(ssub(member, 1, -layout.IDS.size - 1))
    if not flow_states.get(flow) then gate.pull(flow) end
    from = end_of(flow)
  end
  return from
end

-- A limit holds back the job `f.id`, which stood for its flow: it waits with the others.
function gate.park(f, resource, why)
  if f.stands then keyed[f.entry .. f.id] = '0' end
  if f.owns then
    local member = resource .. '\0' .. spack('>d', f.score) .. f.flow
    call('ZADD', gate_parked, 0, member)
    flow_states.set(f.flow, why .. member)
  end
  if why == 'r' then call('ZADD', gate_times, number(limiting.token_at(resource)), resource) end
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

-- Writes what changed. Returns how many places became free that a limit counts.
function gate.flush()
  local freed = taken_places.freed()
  if freed > 0 and call('ZCARD', gate_parked) > 0 then
    for resource in pairs(taken_places.opened()) do
      local l = limiting.of(resource)
      if l and l.concurrency > 0 and first_parked(resource, 1)[1] then
        call('ZADD', gate_times, now, resource)
      end
    end
  end
  gate_data.write()
  return freed > 0 and call('HLEN', gate_limits) > 0 and freed or 0
end

return gate
