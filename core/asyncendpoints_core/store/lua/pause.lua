-- pause: hand out no more jobs; the time to live of waiting ones stands still.
-- KEYS: meta
-- META: tick paused
-- RETURNS: nothing
if paused == 0 then call('HSET', meta, 'paused', string.format('%.0f', now)) end
return 0
