-- A claim that starts the first job of as many flows as it takes jobs, all of which limits let start.
-- That is so with many keys; the jobs next in these flows stand behind all of them, so that there is
-- no order to find. Nor is there in a line that has one flow alone.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: ready gate_data round_limits
-- FEATURELIB: starts
-- IF: gated > 0
local ID_SIZE, DIGITS = layout.IDS.size, {[0] = '0', '1', '2'}
local find = string.find

-- The flows of the first jobs of a line, and the names of their keys' tags; nil when two have the same
-- key, or one cannot be read.
local function read_flows(line, view)
  local entries, n = view.entries, view.n
  local digit, flows, names, seen = DIGITS[line], {}, {}, {}
  for i = 1, n do
    local entry = entries[i]
    local key_end = entry and find(entry, '\0', 1, true)
    if not key_end then return nil end
    local name = digit .. ssub(entry, 1, key_end - 1)
    if seen[name] then return nil end
    flows[i], names[i], seen[name] = ssub(entry, 1, -layout.FLOW_END.size - 1), name, true
  end
  names[n + 1] = 'v' .. line
  return flows, names
end

-- These; nil too when one may have to be moved or wait, or what follows it may start too.
local function plan(line, view)
  local ids, scores, n = view.ids, view.scores, view.n
  if view.horizon >= view.score + 1 then return nil end
  local flows, names = read_flows(line, view)
  if not flows or starts.booking and not round_limits.allow(view, flows, names) then return nil end
  local states, tags = call('HMGET', gate_states, unpack(flows)), call('HMGET', gate_tags, unpack(names))
  local v = tonumber(tags[n + 1] or 0)
  if not v or v > view.score then return nil end -- not v: it is damaged
  for i = 1, n do
    local tag, score = tags[i], scores[i]
    if states[i] ~= '=' .. ids[i]
      or tag and tag ~= score and (tonumber(tag) or math.huge) > tonumber(score) then return nil end
  end
  return flows, names
end

-- Writes that the first jobs of a line started. Returns how many flows have nothing more.
local function write(line, view, flows, names)
  local ids, scores, n, text = view.ids, view.scores, view.n, gate_data.text
  local on_line, on_states, on_tags, off_states, off_keyed = {}, {}, {}, {}, {}
  local behind, on, off = call('ZCARD', gate_keyed) > 0, 0, 0
  local weights, score, finish, weight = view.weights, nil, nil, 1
  for i = 1, n do
    local flow = flows[i]
    if scores[i] ~= score or weights and weights[i] ~= weight then
      score, weight = scores[i], weights and weights[i] or 1
      finish = text(tonumber(score) + 1 / weight)
    end
    on_tags[2 * i - 1], on_tags[2 * i] = names[i], finish
    local member = behind
      and call('ZRANGEBYLEX', gate_keyed, '[' .. flow, '(' .. flow .. '\255', 'LIMIT', '0', '1')[1]
    if member then
      local id = ssub(member, -ID_SIZE)
      off_keyed[on / 2 + 1] = member
      on_line[on + 1], on_line[on + 2] = finish, id
      on_states[on + 1], on_states[on + 2] = flow, '=' .. id
      on = on + 2
    else
      off = off + 1
      off_states[off] = flow
    end
  end
  on_tags[2 * n + 1], on_tags[2 * n + 2] = 'v' .. line, score
  local send = gate_data.send
  send('ZADD', ready[line], on_line, on) -- first: an empty line would begin as a list again
  call('ZREMRANGEBYRANK', ready[line], 0, n - 1)
  send('HSET', gate_tags, on_tags, 2 * n + 2)
  send('HSET', gate_states, on_states, on)
  send('HDEL', gate_states, off_states, off)
  send('ZREM', gate_keyed, off_keyed, on / 2)
  send('HDEL', gate_flows, ids, n)
  send('ZREM', gate_order, ids, n)
  if starts.booking then round_limits.book(view) end
  return off
end

-- Starts the jobs of a flow that is alone in its line, one behind the other.
local function claim_flow(line, take, out_ids, ids, stored, ran)
  local n = #ids
  for i = 1, n do
    local moved = take(ids[i], stored[i], ran[i])
    if not out_ids[i] then
      starts.leave_flow(line, ids, i - 1)
      return i - 1, moved
    end
  end
  starts.leave_flow(line, ids, n)
  return n
end

-- Starts such jobs of a line, by `take`, which adds to `out_ids`. Returns how many started; then, if
-- one did not, whether it left the line: it is the current one.
local function claim_round(line, take, out_ids)
  local alone, of_jobs, of_runs = starts.read_flow(line)
  if alone then return claim_flow(line, take, out_ids, alone, of_jobs, of_runs) end
  local view = starts.read_round(line)
  if not view then return 0 end
  local flows, names = plan(line, view)
  local ids, stored, ran = view.ids, view.stored, view.ran
  for i = 1, flows and view.n or 0 do
    local moved = take(ids[i], stored[i], ran[i])
    if not out_ids[i] then
      starts.leave_round(line, i - 1, true)
      return i - 1, moved
    end
  end
  if flows then
    starts.end_round(line, write(line, view, flows, names))
    return view.n
  end
  starts.leave_round(line, 0)
  return 0
end

return claim_round
