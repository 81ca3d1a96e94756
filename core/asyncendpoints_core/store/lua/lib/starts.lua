-- With keys or limits: the order in which a claim starts the jobs of the lines. Each flow that comes
-- to the front is a table: `id` stands for it, with `score`; `stands` while that is so in Redis too.
-- The jobs behind it are read in growing steps, and what became of it is written once, at the end.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: ready limiting taken_places key_tags gate_data flow_states gate parked_flows
--   flow_order line_rows
-- IF: gated > 0
-- LAZY:
local starts = {}
local MOST_AHEAD, ID_SIZE = 128, layout.IDS.size
local views, touched = {}, {}
local waiting, left, per_line
local left_jobs, left_keyed, left_line = {}, {}, {[0] = {}, {}, {}}
local free = limiting.none() -- nothing is limited or paused
local booking = not free or gated == 1
starts.booking = booking
local known_tags = key_tags.known
local before, insert = flow_order.before, flow_order.insert
local parts_of = booking and key_tags.limited_parts_of or key_tags.parts_of

-- A claim of up to `limit` jobs begins; `now_there`: how many each line has, kept right from here on.
-- Returns the line that alone has any.
function starts.begin(now_there, limit)
  waiting, left = now_there, limit
  local filled, last = 0, nil
  for line = 0, 2 do
    if waiting[line] > 0 then filled, last = filled + 1, line end
  end
  per_line = math.ceil(limit / math.max(1, filled))
  return filled == 1 and last or nil
end

-- Whether the total lets no job start.
function starts.closed()
  return not free and parked_flows.closed()
end

-- What is known of the flows that were read is read in one go.
local function read_flows_of(line, view)
  local tags, of_flows, resources = {[1] = 'v' .. line}, {}, {}
  for i = 1, view.n do
    local entry = view.entries[i]
    local flow = entry and ssub(entry, 1, -layout.FLOW_END.size - 1)
    local of = flow and parts_of(flow)
    if entry and not of then -- it cannot be read: as the record has it
      entry = gate.entry_of(view.ids[i])
      view.entries[i], flow = entry, entry and ssub(entry, 1, -layout.FLOW_END.size - 1)
      of = flow and parts_of(flow)
    end
    if of then
      of_flows[#of_flows + 1], tags[#tags + 1] = flow, of.finish
      if not free then
        resources[#resources + 1], resources[#resources + 2] = of.resources[1], of.resources[2]
      end
    end
  end
  flow_states.load(of_flows)
  key_tags.load(tags)
  limiting.load_tokens(resources)
end

local function begin_view(line)
  local view = {read = 0, at = 1, n = 0, more = true, own = {}, first = 1, last = 1, later = {}}
  views[line] = view
  return view
end

-- Puts a flow among the others of its line; not behind more of them than this claim can take.
local function stand(view, f)
  local own, id = view.own[view.first], view.ids[view.at]
  if left == 0 or view.n - view.at + 1 >= left and view.horizon < f.score then
    view.later[#view.later + 1] = f
  elseif own or id or view.more or view.later[1] then
    insert(view, f)
  else
    view.front = f -- it is alone there
  end
end

local function next_head(line, view)
  local at = view.at
  local id, score, entry = view.ids[at], view.score, view.entries[at]
  view.at, view.score = at + 1, tonumber(view.scores[at + 1])
  local flow = entry and ssub(entry, 1, -layout.FLOW_END.size - 1)
  local f = {
    line = line, id = id, score = score, stands = true, over = false, moved = false, entry = entry,
    flow = flow, of = flow and parts_of(flow), owns = flow and flow_states.get(flow) == '=' .. id,
    members = false, stored = false, ran = false, at = 0, n = 0, last = false, ended = false,
    member = false, job = view.stored[at], run = view.ran[at],
  }
  touched[#touched + 1] = f
  return f
end

local function park(f, resource, why)
  f.over = true
  waiting[f.line] = waiting[f.line] - 1
  gate.park(f, resource, why)
  if f.stands then table.insert(left_line[f.line], f.id) end
end

-- A job that waited before there were keys or limits gets its entry when one holds it back.
local function resources_of(f)
  if f.entry then return f.of.resources end
  local key, name = limiting.of_job(f.id)
  return key and {'k' .. key, 'j' .. name} or {}
end

local function read(f)
  local id = f.id
  if f.job == nil then return id, call('HGET', jobs, id), call('HGET', runs, id) end
  return id, f.job, f.run
end

-- The first job of a line, and what is stored of it; nil when it does not stand there any more,
-- since its key has started another or a limit holds it back.
function starts.head(line)
  local view = views[line] or begin_view(line)
  if view.at > view.n and (view.more or view.later[1]) then
    line_rows.read(line, view, per_line)
    read_flows_of(line, view)
    for _, f in ipairs(view.later) do insert(view, f) end
    view.later = {}
  end
  local f, id = view.own[view.first], view.ids[view.at]
  if view.front then
    f, view.front = view.front, nil
  elseif f and not (id and before(id, view.score, f)) then
    view.own[view.first], view.first = nil, view.first + 1
  elseif not id then
    waiting[line] = 0
    return nil
  else
    f = next_head(line, view)
  end
  view.current = f
  local finish = f.entry and known_tags[f.of.finish] or 0
  if finish > f.score then
    f.score, f.moved = finish, true
    stand(view, f)
    return nil
  end
  if free then return read(f) end
  for _, resource in ipairs(resources_of(f)) do
    local why = limiting.full(resource)
    if why then
      if not f.entry and not gate.adopt(f) then return read(f) end
      park(f, resource, why)
      return nil
    end
  end
  return read(f)
end

-- Reads and returns up to `most` members of `gate:keyed`: what is next in a flow.
local function members_of(f, most)
  local members = call('ZRANGEBYLEX', gate_keyed, f.last or '[' .. f.flow,
    '(' .. ssub(f.flow, 1, -2) .. '\1', 'LIMIT', '0', most == 1 and '1' or most)
  local n = #members
  f.members, f.at, f.n, f.ended = members, 0, n, n < most
  if n > 0 then f.last, f.ran = '(' .. members[n], false end
  return members
end

-- Reads what is next in a flow. Returns whether there is anything.
local function read_ahead(f)
  if f.ended then return false end
  local most = f.n == 0 and math.min(left, math.ceil(left / waiting[f.line])) or 4 * f.n
  local members = members_of(f, math.max(1, math.min(MOST_AHEAD, most)))
  local n = #members
  if n == 0 then return false end
  if left > 0 and n > 1 then
    local ids = {}
    for i = 1, n do ids[i] = ssub(members[i], -ID_SIZE) end
    f.stored, f.ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
  end
  return true
end

-- Another of the jobs that were read stands for its flow.
local function move_to(f, at, score)
  local member = f.members[at]
  f.at, f.id, f.member, f.stands, f.score = at, ssub(member, -ID_SIZE), member, false, score
  if f.ran then f.job, f.run = f.stored[at], f.ran[at] else f.job = nil end
end

-- The job that stood for a flow is gone from it, or does not count any more: the next one stands.
local function go_on(f, score)
  if f.owns and (f.at < f.n or read_ahead(f)) then
    move_to(f, f.at + 1, score)
    return stand(views[f.line], f)
  end
  if f.owns then flow_states.set(f.flow, false) end
  f.over = true
  waiting[f.line] = waiting[f.line] - 1
end

local function weight_of(of)
  local l = not free and of.key ~= '' and limiting.of(of.resources[1])
  return l and l.weight or 1
end

local function start(id, of, score)
  if booking then taken_places.book(id, of.key, of.name) end
  return key_tags.start(of, score, weight_of(of))
end

-- The first job of a line left it: it started, or ended there.
function starts.leave(line, started)
  local f = views[line].current
  if f.stands then
    table.insert(left_line[line], f.id)
  else
    left_keyed[#left_keyed + 1] = f.member
  end
  if started then left = left - 1 end
  left_jobs[#left_jobs + 1] = f.id
  if not f.entry then
    f.over = true
    waiting[line] = waiting[line] - 1
    local key, name = limiting.of_job(f.id)
    local flow = started and key and key .. '\0' .. line .. name .. '\0'
    if flow then start(f.id, key_tags.limited_parts_of(flow), f.score) end
    return
  end
  go_on(f, started and start(f.id, f.of, f.score) or key_tags.of(f.of))
end

-- Reads the first jobs of a line, as many as are wanted; nil when there are fewer.
function starts.read_round(line)
  if left == 0 or waiting[line] < left or starts.closed() then return nil end
  local view = begin_view(line)
  line_rows.read(line, view, per_line)
  if view.n == left then return view end
  read_flows_of(line, view)
  return nil
end

-- All of them started, and `ended` flows have nothing more.
function starts.end_round(line, ended)
  waiting[line], left = waiting[line] - ended, 0
end

-- `started` of them did, and the claim goes on job by job; with `more`, with the one behind these.
function starts.leave_round(line, started, more)
  local view = views[line]
  read_flows_of(line, view)
  for _ = 1, started do
    view.current = next_head(line, view)
    starts.leave(line, true)
  end
  if more then view.current = next_head(line, view) end
end

-- Reads the flow that is alone in a line: as many of its jobs as are wanted, and one to stand there
-- next. Returns their ids and what is stored; nil when there is another flow, its first job may have
-- to be moved, or limits do not let as many start.
function starts.read_flow(line)
  if left < 2 or waiting[line] ~= 1 or starts.closed() then return nil end
  local view = begin_view(line)
  line_rows.read(line, view, per_line)
  read_flows_of(line, view)
  local entry, id = view.entries[1], view.ids[1]
  local flow = entry and ssub(entry, 1, -layout.FLOW_END.size - 1)
  local of = flow and parts_of(flow)
  if view.n ~= 1 or not of or flow_states.get(flow) ~= '=' .. id
    or known_tags[of.finish] > view.score or not (free or limiting.allow(of.resources, left)) then
    return nil
  end
  local f = next_head(line, view)
  local members = members_of(f, left)
  view.current = f
  local n = math.min(#members, left - 1)
  if n == 0 then return view.ids, view.stored, view.ran end
  local ids = {}
  for i = 1, n do ids[i] = ssub(members[i], -ID_SIZE) end
  local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
  table.insert(ids, 1, id)
  table.insert(stored, 1, f.job)
  table.insert(ran, 1, f.run)
  return ids, stored, ran
end

-- The first `started` of these jobs did; the one behind them is the current one.
function starts.leave_flow(line, ids, started)
  local f = views[line].current
  if started == 0 then return end
  local members, of = f.members, f.of
  if booking then taken_places.book_flow(ids, of.key, of.name, started) end
  local score = key_tags.start_all(of, f.score, weight_of(of), started)
  for i = 1, started do left_jobs[i], left_keyed[i] = ids[i], members[i] end
  left_line[line][1] = ids[1]
  left_keyed[started] = nil -- of the job that stands next
  left = left - started
  if members[started] then return move_to(f, started, score) end
  flow_states.set(f.flow, false)
  f.over = true
  waiting[line] = waiting[line] - 1
end

-- The first job of a line stays, since it cannot be read yet: the next of its flow may start.
function starts.pass(line)
  local f = views[line].current
  if not f.stands then gate.stand(line, f.id, f.score, f.member) end
  if not f.entry then
    f.over = true
    return
  end
  waiting[line] = waiting[line] + 1
  f.owns = true
  go_on(f, key_tags.of(f.of))
end

-- What stands in a line now but not in Redis: the scores and ids of each line, the states.
local function standing()
  local on, set, at, n = {[0] = {}, {}, {}}, {}, {[0] = 0, 0, 0}, 0
  for _, f in ipairs(touched) do
    if not f.over and (f.moved or not f.stands) then
      local line, i = f.line, at[f.line]
      on[line][i + 1], on[line][i + 2] = gate_data.text(f.score), f.id
      at[line] = i + 2
      if not f.stands then
        set[n + 1], set[n + 2] = f.flow, '=' .. f.id
        n = n + 2
        left_keyed[#left_keyed + 1] = f.member
      end
    end
  end
  return on, set
end

local function write()
  local on, set = standing()
  for line = 0, 2 do
    gate_data.send('ZADD', ready[line], on[line]) -- first: an empty line would begin as a list again
    gate_data.send('ZREM', ready[line], left_line[line])
  end
  gate_data.send('HSET', gate_states, set)
  gate_data.send('ZREM', gate_keyed, left_keyed)
  gate_data.send('HDEL', gate_flows, left_jobs)
  gate_data.send('ZREM', gate_order, left_jobs)
  views, touched, left_line = {}, {}, {[0] = {}, {}, {}}
  left_keyed, left_jobs = {}, {}
end
gate_data.on_write(write)

return starts
