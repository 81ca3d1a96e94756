-- Runs to write, once each at the end.
local set_runs = batch.new('HSET', runs)

local function save(id, r)
  batch.add(set_runs, id, record.encode_run(r))
end
