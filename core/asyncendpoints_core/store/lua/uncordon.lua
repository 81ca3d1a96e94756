-- uncordon: remove a requester's own cordon of workers.
-- KEYS: meta marks idle bell ready:high ready:normal ready:low suspects delayed gate:times
-- META: tick paused closed
-- LIB: wake_up claimable cordons
-- ARGV: 1 requester, 2… the workers
-- RETURNS: nothing
for i = 2, #ARGV do
  local field = 'c' .. ARGV[i]
  local kept, any = {}, false
  for who, ends in pairs(cordons.read(call('HGET', marks, field))) do
    if who ~= ARGV[1] then kept[who], any = ends, true end
  end
  if any then
    call('HSET', marks, field, cmsgpack.pack(kept))
  else
    call('HDEL', marks, field)
  end
end
wake_up(claimable())
return 0
