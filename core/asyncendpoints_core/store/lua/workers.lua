-- workers: every registered worker, 10,000 at most.
-- KEYS: meta workers winfo marks held
-- META: tick
-- LIB: worker_state
-- FLAGS: read
-- RETURNS: WORKER for each
local out = {}
local flat = call('ZRANGE', workers, 0, 9999, 'WITHSCORES')
for i = 1, #flat, 2 do
  local worker = flat[i]
  local packed, last = call('HGET', marks, 'c' .. worker), 0
  for _, ends in pairs(packed and cmsgpack.unpack(packed) or {}) do
    if ends > now then last = math.max(last, ends) end
  end
  out[#out + 1] = worker_state(worker, tonumber(flat[i + 1]), last)
end
return out
