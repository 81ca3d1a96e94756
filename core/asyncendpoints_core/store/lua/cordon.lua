-- cordon: stop workers from claiming for a time; every requester has a cordon of its own.
-- KEYS: meta workers winfo marks held idle bell ready:high ready:normal ready:low
-- META: tick safety paused
-- LIB: wake_up guard worker_state
-- ARGV: 1 requester, 2 ms (30,000 at most), 3… the workers
-- RETURNS: for each '' (unknown) or WORKER
local out, woken = {}, 0
for i = 3, #ARGV do
  local worker = ARGV[i]
  local lease = call('ZSCORE', workers, worker)
  if not lease then
    out[i - 2] = ''
  else
    local packed, kept, last = call('HGET', marks, 'c' .. worker), {}, now + tonumber(ARGV[2])
    for who, ends in pairs(packed and cmsgpack.unpack(packed) or {}) do
      if ends > now and who ~= ARGV[1] then
        kept[who] = ends
        last = math.max(last, ends)
      end
    end
    kept[ARGV[1]] = now + tonumber(ARGV[2])
    call('HSET', marks, 'c' .. worker, cmsgpack.pack(kept))
    guard(marks)
    woken = woken + call('ZREM', idle, worker)
    out[i - 2] = worker_state(worker, tonumber(lease), last)
  end
end
if woken > 0 and call('ZCARD', ready_high) + call('ZCARD', ready_normal) + call('ZCARD', ready_low) > 0
then
  wake(1) -- forward a wake-up that may have been meant for a cordoned worker
end
return out
