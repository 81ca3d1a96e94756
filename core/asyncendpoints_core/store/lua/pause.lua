-- pause: stop handing out jobs; the time to live of waiting ones stops.
-- KEYS: meta
-- META: tick paused
-- RETURNS: nothing
if paused == 0 then call('HSET', meta, 'paused', string.format('%.0f', now)) end
return 0
