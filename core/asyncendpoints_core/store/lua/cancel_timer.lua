-- cancel_timer: take an idle endpoint's keys off their timer, so that jobs can be accepted.
-- KEYS: all
-- META: tick safety purged
-- LIB: timer
-- RETURNS: nothing
if safety > 0 and purged == 0 then timer.cancel() end
return 0
