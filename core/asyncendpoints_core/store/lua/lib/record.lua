-- The stored form of a job: docs/adr/0001-record-layout.md, and codec.py on the client's side.
local QUEUED, SCHEDULED, RUNNING, COMPLETED, FAILED, CANCELED = 0, 1, 2, 3, 4, 5
local MAGIC, VERSION = 174, 1
local SHORT, SHORT_BYTES = '>BBBI6I6I6HBB', 25
local LONG, LONG_BYTES = '>BBBI6I6I6HBBBI6I6I6BBHI6I6I4I7I4I6I6BHHH', 94
local spack, sunpack, ssub = struct.pack, struct.unpack, string.sub

-- Returns a table, or nil and why: 'newer', 'corrupt'.
local function decode(s)
  if #s < 3 then return nil, 'corrupt' end
  local magic, version, bits = sunpack('>BBB', s)
  if magic ~= MAGIC or version == 0 then return nil, 'corrupt' end
  if version > VERSION then return nil, 'newer' end
  local state, long = bits % 8, bits % 16 > 7
  local prio = floor(bits / 16) % 4
  if state > 5 or prio > 2 then return nil, 'corrupt' end
  if #s < (long and LONG_BYTES or SHORT_BYTES) then return nil, 'corrupt' end
  local r, at
  if long then
    local _, _, _, created, seq, base, max, nl, tl, wl, expires, notbefore, deadline, crashes,
      releases, attempt, started, cancel, size, claim, rev, updated, completed, natt, el, pl, al
      = sunpack(LONG, s)
    at = LONG_BYTES + 1
    local name, trace = at + nl, at + nl + tl
    local worker = trace + wl
    local err, progress = worker + el, worker + el + pl
    local attempts = progress + al
    if #s < attempts + 2 then return nil, 'corrupt' end
    r = {
      state = state, prio = prio, suspect = bits % 128 > 63, apart = bits > 127, created = created, seq = seq, base = base,
      max = max, attempt = attempt, crashes = crashes, releases = releases, rev = rev,
      claim = claim, updated = updated, notbefore = notbefore, started = started,
      completed = completed, expires = expires, cancel = cancel, deadline = deadline, size = size,
      natt = natt, name = ssub(s, at, name - 1), trace = ssub(s, name, trace - 1),
      worker = ssub(s, trace, worker - 1), error = ssub(s, worker, err - 1),
      progress = ssub(s, err, progress - 1), attempts = ssub(s, progress, attempts - 1),
      tail = ssub(s, attempts),
    }
  else
    local _, _, _, created, seq, base, max, nl, tl = sunpack(SHORT, s)
    at = SHORT_BYTES + 1
    local name, trace = at + nl, at + nl + tl
    if state ~= QUEUED or #s < trace + 2 then return nil, 'corrupt' end
    r = {
      state = state, prio = prio, suspect = false, apart = false, created = created, seq = seq, base = base,
      max = max, attempt = 0, crashes = 0, releases = 0, rev = 1, claim = 0, updated = created,
      notbefore = 0, started = 0, completed = 0, expires = 0, cancel = 0, deadline = 0,
      natt = 0, name = ssub(s, at, name - 1), trace = ssub(s, name, trace - 1), worker = '',
      error = '', progress = '', attempts = '', tail = ssub(s, trace),
    }
  end
  local body = #r.tail - 3 - sunpack('>I3', r.tail)
  if body < 0 then return nil, 'corrupt' end
  r.size = r.size or body
  return r
end

-- The record without the request: all that a reader of its state needs.
local function encode_state(r)
  return spack(LONG, MAGIC, VERSION,
    r.state + 8 + r.prio * 16 + (r.suspect and 64 or 0) + (r.apart and 128 or 0), r.created, r.seq,
    r.base, r.max, #r.name, #r.trace, #r.worker, r.expires, r.notbefore, r.deadline, r.crashes,
    r.releases, r.attempt, r.started, r.cancel, r.size, r.claim, r.rev, r.updated, r.completed,
    r.natt, #r.error, #r.progress, #r.attempts)
    .. r.name .. r.trace .. r.worker .. r.error .. r.progress .. r.attempts
end
