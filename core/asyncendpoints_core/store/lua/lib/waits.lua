-- How long the jobs that are claimed waited, in all and in the buckets of store/waits.py.
-- LIB: counters
local waits = {}
local MIDDLE = math.sqrt(0.5)
local total, buckets = 0, {}
local last, bucket -- many of a batch waited equally long

function waits.count(ms)
  if ms ~= last then
    local mantissa, exponent = math.frexp(ms + 1)
    last, bucket = ms, 2 * exponent - (mantissa < MIDDLE and 1 or 0)
  end
  buckets[bucket] = (buckets[bucket] or 0) + 1
  total = total + ms
end

function waits.tally()
  counters.tally('wait_ms', total)
  for bucket, n in pairs(buckets) do counters.tally('w' .. bucket, n) end
end

return waits
