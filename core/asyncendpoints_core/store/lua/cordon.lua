-- cordon: stop workers from claiming for a time; every requester has a cordon of its own.
-- KEYS: meta workers winfo marks held idle bell ready:high ready:normal ready:low suspects delayed gate:times
-- META: tick safety paused closed
-- LIB: wake_up claimable guard worker_state cordons
-- ARGV: 1 requester, 2 ms (30,000 at most), 3… the workers
-- RETURNS: for each '' (unknown) or WORKER
local out, woken = {}, 0
for i = 3, #ARGV do
  local worker = ARGV[i]
  local lease = call('ZSCORE', workers, worker)
  if not lease then
    out[i - 2] = ''
  else
    local kept = {[ARGV[1]] = now + tonumber(ARGV[2])}
    for who, ends in pairs(cordons.read(call('HGET', marks, 'c' .. worker))) do
      if ends > now and who ~= ARGV[1] then kept[who] = ends end
    end
    local packed = cmsgpack.pack(kept)
    call('HSET', marks, 'c' .. worker, packed)
    guard(marks)
    woken = woken + call('ZREM', idle, worker)
    out[i - 2] = worker_state(worker, tonumber(lease), cordons.last(packed))
  end
end
if woken > 0 then
  wake_up(math.min(1, claimable())) -- forward one that may have been meant for a cordoned worker
end
return out
