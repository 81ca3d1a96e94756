-- wake: take an endpoint at rest off its timer, so that work can be accepted.
-- KEYS: all
-- META: tick safety purged
-- LIB: rest
-- RETURNS: nothing
if safety > 0 and purged == 0 then take_off() end
return 0
