-- The ready lines as the gate changes them. `head` begins a view of a line: what is there is read
-- ahead, and what this call puts there is kept in order beside it until the next write.
-- LIB: gate_data
local gate_lines = {}
local sizes, most = {[0] = 0, 0, 0}, 100
local queues = {[0] = ready_high, ready_normal, ready_low}
local views, known_jobs, known_runs, to = {}, {}, {}, {}
for line = 0, 2 do to[line] = gate_data.collect('ZADD', 'ZREM', queues[line]) end

local function number(value)
  return string.format('%.17g', value)
end

-- A claim of up to `limit` jobs begins; `now_there`: how many each line has, kept right from here on.
function gate_lines.begin(now_there, limit)
  sizes, most = now_there, limit
end

-- Reads jobs and runs that will be needed.
function gate_lines.read(ids)
  local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
  for i, id in ipairs(ids) do known_jobs[id], known_runs[id] = stored[i], ran[i] end
end

function gate_lines.stored(id)
  local job, run = known_jobs[id], known_runs[id]
  if job == nil then job, run = call('HGET', jobs, id), call('HGET', runs, id) end
  return job, run
end

local function read_on(line, view)
  local filled = 0
  for i = 0, 2 do
    if sizes[i] > 0 then filled = filled + 1 end
  end
  local count = math.ceil(most / math.max(1, filled))
  local found = call('ZRANGE', queues[line], view.read, view.read + count - 1, 'WITHSCORES')
  local ids = {}
  for i = 1, #found, 2 do ids[#ids + 1] = found[i] end
  view.ids, view.scores, view.at, view.n, view.more = ids, found, 1, #ids, #ids == count
  view.read = view.read + #ids
  if #ids > 0 then
    gate_lines.read(ids)
    gate_lines.read_ahead(ids)
  end
end

-- As Redis orders members of a sorted set that have the same score.
local function id_before(a, b)
  local a1, a2, a3 = sunpack('>I6I6I4', a)
  local b1, b2, b3 = sunpack('>I6I6I4', b)
  if a1 ~= b1 then return a1 < b1 end
  if a2 ~= b2 then return a2 < b2 end
  return a3 < b3
end

local function before(id, score, entry)
  if score ~= entry.score then return score < entry.score end
  return id_before(id, entry.id)
end

-- The first job of a line, and its score.
function gate_lines.head(line)
  local view = views[line]
  if not view then
    view = {read = 0, at = 1, n = 0, more = true, own = {}, first = 1, last = 1}
    views[line] = view
  end
  if view.at > view.n and view.more then read_on(line, view) end
  local own = view.own[view.first]
  local id = view.ids[view.at]
  local score = id and tonumber(view.scores[2 * view.at])
  view.of_own = own and not (id and before(id, score, own))
  if view.of_own then return own.id, own.score end
  return id, score
end

-- Takes the head out, or with `stays` goes past it.
function gate_lines.pass(line, stays)
  local view = views[line]
  if not stays then sizes[line] = sizes[line] - 1 end
  if view.of_own then
    local own = view.own[view.first]
    view.own[view.first], view.first = nil, view.first + 1
    if stays then to[line][own.id] = number(own.score) end
  else
    if not stays then to[line][view.ids[view.at]] = false end
    view.at = view.at + 1
  end
end

function gate_lines.put(line, id, score)
  sizes[line] = sizes[line] + 1
  local view = views[line]
  if not view then
    to[line][id] = number(score)
    return
  end
  local own, low, last = view.own, view.first, view.last
  local high = last
  view.last = last + 1
  while low < high do
    local middle = floor((low + high) / 2)
    if before(id, score, own[middle]) then high = middle else low = middle + 1 end
  end
  for i = last, low + 1, -1 do own[i] = own[i - 1] end
  own[low] = {id = id, score = score}
end

-- Takes a job out of a line of which there is no view. Returns whether it was there.
function gate_lines.remove(line, id)
  local there = call('ZREM', queues[line], id) == 1
  if there then sizes[line] = sizes[line] - 1 end
  return there
end

gate_data.on_write(function()
  for line, view in pairs(views) do
    for i = view.first, view.last - 1 do
      to[line][view.own[i].id] = number(view.own[i].score)
    end
  end
  views = {}
end)

return gate_lines
