-- Limits of a claim that starts one job of each of some keys.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: limiting taken_places
-- LAZY:
local round_limits = {}

local function count_in(of_names, name)
  of_names[name] = (of_names[name] or 0) + 1
end

-- What limits the jobs of a round: resources of names, with how many of them there are, and of keys.
local function read_resources(view, flows, names)
  local keys, job_names, of_names, wanted, n = {}, {}, {}, {'t'}, view.n
  for i = 1, n do
    local key = ssub(names[i], 2)
    local name = ssub(flows[i], #key + 3, -2)
    keys[i], job_names[i] = key, name
    count_in(of_names, 'j' .. name)
    wanted[i + 1] = 'k' .. key
  end
  view.keys, view.names = keys, job_names
  local last = n + 1
  for resource in pairs(of_names) do
    last = last + 1
    wanted[last] = resource
  end
  limiting.load_tokens(wanted)
  return wanted, of_names
end

-- Whether limits let all of them start, and no job that follows stands before the last of them.
function round_limits.allow(view, flows, names)
  local wanted, of_names = read_resources(view, flows, names)
  local n, weights = view.n, {}
  if limiting.room('t', n) < n then return false end
  for resource, count in pairs(of_names) do
    if limiting.room(resource, count) < count then return false end
  end
  for i = 1, n do
    local l = limiting.of(wanted[i + 1])
    weights[i] = l and l.weight or 1
    if l and limiting.full(wanted[i + 1])
      or view.horizon >= tonumber(view.scores[i]) + 1 / weights[i] then return false end
  end
  view.weights = weights
  return true
end

-- All of them started: they have their places, and took their tokens.
function round_limits.book(view)
  taken_places.book_all(view.ids, view.keys, view.names, view.n)
end

return round_limits
