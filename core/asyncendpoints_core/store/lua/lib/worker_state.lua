-- What a client shows of a worker: WORKER. `lease`: when it ends.
-- LIB: held_count
local function worker_state(worker, lease, cordoned_until)
  local held, draining = held_count(worker), call('HEXISTS', marks, 'd' .. worker)
  local info = call('HGET', worker_info, worker) or ''
  return spack(layout.WORKER.format, layout.WORKER.fields) .. info
end
return worker_state
