-- The lines of ready jobs, and with keys or limits what waits behind them.
-- LIB: batch
-- FEATURELIB: gate
local lines = {}

-- How many ready jobs are in no line.
function lines.behind()
  return gate and call('ZCARD', gate_keyed) or 0
end

-- Sends a ZADD for each line. Returns how many of the jobs a limit holds back.
function lines.add(batches)
  if gate then return gate.add_all(batches) end
  batch.flush_each(batches)
  return 0
end

-- Sends a ZREM for each line.
function lines.remove(batches)
  if gate then return gate.remove_all(batches) end
  batch.flush_each(batches)
end

return lines
