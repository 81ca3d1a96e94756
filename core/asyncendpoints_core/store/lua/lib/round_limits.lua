-- Limits of a claim that starts one job of each of some keys.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: limiting taken_places
-- LAZY:
local round_limits = {}

-- The keys and the names of the jobs of a round, and how many there are by the resource of their name.
local function read_names(view, flows, names)
  local keys, job_names, of_names = {}, {}, {}
  local name, resource
  for i = 1, view.n do
    local key = ssub(names[i], 2)
    local at = ssub(flows[i], #key + 3, -2)
    keys[i], job_names[i] = key, at
    if at ~= name then name, resource = at, 'j' .. at end
    of_names[resource] = (of_names[resource] or 0) + 1
  end
  view.keys, view.names, view.of_names = keys, job_names, of_names
end

-- Reads the limits of the total and the names, with their tokens, and those of the keys.
local function read_limits(view)
  local keys, found, wanted = view.keys, {}, {'t'}
  for resource in pairs(view.of_names) do wanted[#wanted + 1] = resource end
  if not limiting.expect(view.n) then
    local of_keys = {}
    for i = 1, view.n do of_keys[i] = 'k' .. keys[i] end
    limiting.load(of_keys)
  end
  limiting.load_tokens(wanted)
  for i = 1, view.n do found[i] = limiting.of_key(keys[i]) end
  view.limits = found
end

-- Whether limits let all of them start, and no job that follows stands before the last of them.
function round_limits.allow(view, flows, names)
  local n, weights, horizon = view.n, {}, view.horizon
  read_names(view, flows, names)
  read_limits(view)
  if limiting.room('t', n) < n then return false end
  for resource, count in pairs(view.of_names) do
    if limiting.room(resource, count) < count then return false end
  end
  for i = 1, n do
    local l = view.limits[i]
    local weight = l and l.weight or 1
    weights[i] = weight
    if weight > 1 and horizon >= tonumber(view.scores[i]) + 1 / weight then return false end
  end
  view.weights, view.rated = weights, limiting.allow_each(view.keys, view.limits, n)
  return view.rated
end

-- All of them started: they have their places, and took their tokens.
function round_limits.book(view)
  taken_places.book_all(view.ids, view.keys, view.names, view.limits, view.rated, view.n)
end

return round_limits
