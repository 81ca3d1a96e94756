-- resume: hand out jobs again.
-- KEYS: meta idle bell ready:high ready:normal ready:low suspects
-- META: tick paused suspended
-- LIB: ready wake_up
-- RETURNS: nothing
if paused > 0 then
  call('HSET', meta, 'suspended', string.format('%.0f', suspended + now - paused), 'paused', 0)
  paused = 0
end
wake_up(ready.count()
  + math.min(1, call('ZCOUNT', suspects, '-inf', string.format('%.0f', now))))
return 0
