-- The queues of ready jobs, by priority.
local ready = {[0] = ready_high, ready_normal, ready_low}

function ready.sizes()
  return {[0] = call('ZCARD', ready_high), call('ZCARD', ready_normal), call('ZCARD', ready_low)}
end

function ready.count()
  local sizes = ready.sizes()
  return sizes[0] + sizes[1] + sizes[2]
end

return ready
