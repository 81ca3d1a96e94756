-- Schedules as tables, and which of them the policy has.
-- LIB: guard
local schedule = {}
local KEPT_MS, BOUND = 86400000, 500

-- Nil for one that cannot be read: it begins again when the policy is written next.
function schedule.read(s)
  if #s ~= layout.SCHEDULE.size then return nil end
  local r = {}
  layout.SCHEDULE.fields(r) = sunpack(layout.SCHEDULE.format, s)
  return r
end

function schedule.write(name, r)
  call('HSET', schedules, name, spack(layout.SCHEDULE.format, layout.SCHEDULE.fields(r)))
  guard(schedules)
end

local function from_hex(hash)
  return (string.gsub(hash, '%x%x', function(byte) return string.char(tonumber(byte, 16)) end))
end

local function forget(name)
  local members = call('ZRANGEBYLEX', fired, '[' .. name .. '\0', '(' .. name .. '\2', 'LIMIT', 0,
    BOUND)
  if #members > 0 then call('ZREM', fired, unpack(members)) end
  if #members < BOUND then call('HDEL', schedules, name) end
end

-- Brings them in line with the policy's `name=hash,…`: one that is new or changed begins now. One
-- that was removed is remembered for a day.
function schedule.configure(policy)
  local wanted, known = {}, {}
  for name, hash in string.gmatch(policy, '([^=,]+)=(%x+)') do wanted[name] = from_hex(hash) end
  local stored = call('HGETALL', schedules)
  for i = 1, #stored, 2 do
    local name, r = stored[i], schedule.read(stored[i + 1])
    if wanted[name] then
      known[name] = r
    elseif not r then
      forget(name)
    elseif r.removed_ms == 0 then
      r.removed_ms = now
      schedule.write(name, r)
    elseif r.removed_ms <= now - KEPT_MS then
      forget(name)
    end
  end
  for name, hash in pairs(wanted) do
    local r = known[name] or {
      hash = '', last_ms = 0, fired_ms = 0, removed_ms = 0, missed = 0, missed_ms = 0, skipped = 0,
      skipped_ms = 0,
    }
    if r.hash ~= hash or r.removed_ms > 0 then
      r.hash, r.removed_ms, r.last_ms = hash, 0, math.max(r.last_ms, now)
      schedule.write(name, r)
    end
  end
end

return schedule
