-- Locks of unique jobs. One counts only while its job is unfinished and its time is not over, and if
-- it ends with the start, while that has not been claimed since; any other is taken by the next job.
-- LIB: batch record
local unique = {}
local on_locks, known = batch.new('HSET', locks), {}

-- Nil for one that cannot be read: the next job takes it, or a sweep removes it.
local function read(s)
  if #s ~= layout.LOCK.size then return nil end
  local lock = {}
  layout.LOCK.fields(lock) = sunpack(layout.LOCK.format, s)
  return lock
end

-- The lock of a name as it is now, whether it counts or not; nil without one.
function unique.get(name)
  if known[name] == nil then
    local s = call('HGET', locks, name)
    known[name] = s and read(s) or false
  end
  return known[name] or nil
end

function unique.set(name, lock)
  known[name] = lock
  batch.add(on_locks, name, spack(layout.LOCK.format, layout.LOCK.fields(lock)))
end

-- Gives the lock that a job carries to the job.
function unique.take(carried, id, claim)
  unique.set(carried.lock, {
    id = id, submission = id, ends_at = now + carried.lock_ms, claim = claim,
    until_started = carried.until_started and 1 or 0,
  })
end

-- What is known of the job that holds a lock, from its records; nil when the lock does not count.
function unique.holder(lock, job, run)
  local r = job and now < lock.ends_at and record.decode(job, run)
  if not r or r.state > IN_PROGRESS then return nil end
  if lock.until_started == 1 and r.claim ~= lock.claim then return nil end
  return r
end

function unique.flush()
  batch.flush(on_locks)
end

-- Removes stale ones among some locks; returns whether there may be more.
function unique.sweep()
  if call('HLEN', locks) == 0 then return false end
  local page = call('HSCAN', locks, call('HGET', meta, 'lock_cursor') or '0', 'COUNT', 100)
  local off = batch.new('HDEL', locks)
  for i = 1, #page[2], 2 do
    local lock = read(page[2][i + 1])
    if not lock
      or not unique.holder(lock, call('HGET', jobs, lock.id), call('HGET', runs, lock.id)) then
      batch.add(off, page[2][i])
    end
  end
  local removed = off.n > 2
  batch.flush(off)
  call('HSET', meta, 'lock_cursor', page[1])
  return removed and page[1] ~= '0'
end

return unique
