-- Runs to write, once each at the end.
local set_runs = batch('HSET', runs)

local function save(id, r)
  add(set_runs, id, encode_run(r))
end
