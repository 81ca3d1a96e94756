-- resume: hand out jobs again, unless somebody else stopped them too.
-- KEYS: meta idle bell ready:high ready:normal ready:low suspects delayed gate:times
-- META: tick paused suspended stopped_by closed
-- LIB: wake_up claimable stoppers
-- ARGV: 1 who, a bit of stoppers
-- RETURNS: nothing
local left = band(stoppers(), bit.bnot(ARGV[1]))
if paused > 0 then call('HSET', meta, 'stopped_by', left) end
if left > 0 then return 0 end
if paused > 0 then
  call('HSET', meta, 'suspended', string.format('%.0f', suspended + now - paused), 'paused', 0)
  paused = 0
end
wake_up(claimable())
return 0
