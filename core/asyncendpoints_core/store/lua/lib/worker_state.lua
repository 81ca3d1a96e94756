-- What a client shows of a worker: WORKER. `lease`: when it ends.
local function worker_state(worker, lease, cordoned_until)
  local held = call('ZLEXCOUNT', held, '[' .. worker .. '\0', '(' .. worker .. '\1')
  local draining = call('HEXISTS', marks, 'd' .. worker)
  return spack(layout.WORKER.format, layout.WORKER.fields) .. (call('HGET', worker_info, worker) or '')
end
