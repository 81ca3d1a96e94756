-- watch: have changes published for a while.
-- KEYS: meta watch
-- META: tick
-- ARGV: 1 's' for sharded channels, else 'p'; 2 ms
-- RETURNS: nothing
call('SET', watch, ARGV[1], 'PX', ARGV[2])
return 0
