-- cordon: let workers claim nothing new for a time; each who asks has a cordon of its own.
-- KEYS: meta workers winfo marks held idle bell ready:high ready:normal ready:low
-- META: tick safety paused
-- LIB: ring guard
-- ARGV: 1 who asks, 2 ms (30,000 at most), 3… the workers
-- RETURNS: for each '' (unknown) or lease, held, end of its cordon (8 bytes each), 1 when it drains,
--   what it said of itself
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
    out[i - 2] = layout.pack_worker(tonumber(lease),
      call('ZLEXCOUNT', held, '[' .. worker .. '\0', '(' .. worker .. '\1'), last,
      call('HEXISTS', marks, 'd' .. worker)) .. (call('HGET', winfo, worker) or '')
  end
end
if woken > 0 and call('ZCARD', ready_high) + call('ZCARD', ready_normal) + call('ZCARD', ready_low) > 0
then
  ring(1) -- one may have been meant for a worker that cannot use it any more
end
return out
