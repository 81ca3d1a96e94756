-- Runs to write, once each at the end.
-- LIB: batch record
-- LAZY: flush
local save = {}
local set_runs = batch.new('HSET', runs)

function save.run(id, r)
  batch.add(set_runs, id, record.encode_run(r))
end

function save.flush()
  batch.flush(set_runs)
end

return save
