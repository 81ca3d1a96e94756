-- The stored form of a job: docs/adr/0001-record-layout.md, and records.py on the client's side.
-- What never changes is in `jobs`, what does is in `runs`; a job without a run waits as it was made.
local QUEUED, SCHEDULED, RUNNING, COMPLETED, FAILED, CANCELED = 0, 1, 2, 3, 4, 5
-- The first byte: 10 in its high half, the format's version in its low half.
local KIND, VERSION = 160, 1
local JOB, JOB_BYTES = '>BBI6I5HBB', 17
local RUN, RUN_BYTES = '>BBI6I5HBI6I6I6I6BBHI6I6I4I7I4I6I6BHHHB', 91
local spack, sunpack, ssub, sbyte = struct.pack, struct.unpack, string.sub, string.byte

-- Returns nil for a first byte of this format, else why it is none: 'newer', 'corrupt'.
local function stranger(s)
  local version = (sbyte(s, 1) or 0) - KIND
  if version == VERSION then return nil end
  return version > VERSION and version < 16 and 'newer' or 'corrupt'
end

-- How long the stored request at `at` is without its body.
local function request_bytes(s, at)
  local length = sbyte(s, at)
  if length and length < 255 then return 1 + length end
  if #s < at + 3 then return #s end -- too long for what there is: corrupt
  return 4 + sunpack('>I3', s, at + 1)
end

-- Where a job's name begins, where its time to live does, and its body's size if that is apart.
local function parts(s, bits)
  local at, base, apart = JOB_BYTES + 1, nil, nil
  if bits > 127 then base, at = sunpack('>I6', s, at) end
  if bits % 128 > 63 then apart, at = sunpack('>I4', s, at) end
  return at, base, apart
end

-- The run of a job that has none yet, as a table; or nil and why.
local function decode_job(s)
  local why = stranger(s)
  local bits = sbyte(s, 2) or 0
  local least = JOB_BYTES + (bits > 127 and 6 or 0) + (bits % 128 > 63 and 4 or 0)
  if why or #s < least then return nil, why or 'corrupt' end
  local _, _, created, seq, max, nl, tl = sunpack(JOB, s)
  local name, base, apart = parts(s, bits)
  local tail = name + nl + tl
  local size = apart or #s - tail + 1 - request_bytes(s, tail)
  local prio = floor(bits / 16) % 4
  if prio > 2 or bits % 16 > 0 or size < 0 or #s < tail then return nil, 'corrupt' end
  return {
    state = QUEUED, prio = prio, suspect = false, apart = apart ~= nil, created = created, seq = seq,
    max = max, base = base or created, expires = 0, notbefore = 0, deadline = 0, crashes = 0,
    releases = 0, attempt = 0, started = 0, cancel = 0, size = size, claim = 0, rev = 1,
    updated = created, completed = 0, natt = 0, worker = '', error = '', progress = '',
    attempts = '', name = ssub(s, name, name + nl - 1), result = '',
  }
end

-- A run as a table, or nil and why.
local function decode_run(s)
  local why = stranger(s)
  if why or #s < RUN_BYTES then return nil, why or 'corrupt' end
  local _, bits, created, seq, max, nl, base, expires, notbefore, deadline, crashes, releases,
    attempt, started, cancel, size, claim, rev, updated, completed, natt, el, pl, al, wl
    = sunpack(RUN, s)
  local state, prio = bits % 8, floor(bits / 16) % 4
  local err = RUN_BYTES + 1 + wl
  local progress = err + el
  local attempts = progress + pl
  local name = attempts + al
  local result = name + nl
  if state > 5 or prio > 2 or #s < result - 1 then return nil, 'corrupt' end
  return {
    state = state, prio = prio, suspect = bits % 128 > 63, apart = bits > 127, created = created,
    seq = seq, max = max, base = base > 0 and base or created, expires = expires,
    notbefore = notbefore, deadline = deadline, crashes = crashes, releases = releases,
    attempt = attempt, started = started, cancel = cancel, size = size, claim = claim, rev = rev,
    updated = updated, completed = completed, natt = natt,
    worker = ssub(s, RUN_BYTES + 1, err - 1), error = ssub(s, err, progress - 1),
    progress = ssub(s, progress, attempts - 1), attempts = ssub(s, attempts, name - 1),
    name = ssub(s, name, result - 1), result = ssub(s, result),
  }
end

-- What is known of a job: of its run if there is one. Nil without a record; or nil and why.
local function decode(job, run)
  if run then return decode_run(run) end
  if job then return decode_job(job) end
end

local function encode_run(r)
  return spack(RUN, KIND + VERSION,
    r.state + r.prio * 16 + (r.suspect and 64 or 0) + (r.apart and 128 or 0), r.created, r.seq,
    r.max, #r.name, r.base, r.expires, r.notbefore, r.deadline, r.crashes, r.releases, r.attempt,
    r.started, r.cancel, r.size, r.claim, r.rev, r.updated, r.completed, r.natt, #r.error,
    #r.progress, #r.attempts, #r.worker)
    .. r.worker .. r.error .. r.progress .. r.attempts .. r.name .. r.result
end

-- What stands in `held` for a job that a worker holds: each worker's in the order of its claims.
local function held_member(id, r)
  return r.worker .. '\0' .. spack('>I7', r.claim) .. id
end
