-- pause: stop handing out jobs; the time to live of waiting ones stops.
-- KEYS: meta
-- META: tick paused stopped_by
-- LIB: stoppers
-- ARGV: 1 who, a bit of stoppers
-- RETURNS: nothing
if paused == 0 then call('HSET', meta, 'paused', string.format('%.0f', now)) end
call('HSET', meta, 'stopped_by', bit.bor(stoppers(), ARGV[1]))
return 0
