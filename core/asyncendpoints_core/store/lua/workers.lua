-- workers: every registered worker, 10,000 at most.
-- KEYS: meta workers winfo marks held
-- META: tick
-- LIB: worker_state cordons
-- FLAGS: read
-- RETURNS: for each its id and WORKER
local out = {}
local flat = call('ZRANGE', workers, 0, 9999, 'WITHSCORES')
for i = 1, #flat, 2 do
  local worker = flat[i]
  local cordoned_until = cordons.last(call('HGET', marks, 'c' .. worker))
  out[#out + 1] = worker
  out[#out + 1] = worker_state(worker, tonumber(flat[i + 1]), cordoned_until)
end
return out
