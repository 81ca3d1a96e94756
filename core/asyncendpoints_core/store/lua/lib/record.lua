-- The stored form of a job: docs/adr/0001-record-layout.md, and records.py on the client's side.
local QUEUED, SCHEDULED, RUNNING, COMPLETED, FAILED, CANCELED = 0, 1, 2, 3, 4, 5
-- The first byte: 10 in its high half, the format's version in its low half.
local KIND, VERSION = 160, 1
local SHORT, SHORT_BYTES = '>BBI6I5HBB', 17
local LONG, LONG_BYTES = '>BBI6I5HBBI6BI6I6I6BBHI6I6I4I7I4I6I6BHHH', 92
local spack, sunpack, ssub, sbyte = struct.pack, struct.unpack, string.sub, string.byte

-- How long the stored request at `at` is without its body.
local function request_bytes(s, at)
  local length = sbyte(s, at)
  if length and length < 255 then return 1 + length end
  if #s < at + 3 then return #s end -- too long for what there is: corrupt
  return 4 + sunpack('>I3', s, at + 1)
end

local function decode_long(s, r)
  local _, _, created, seq, max, nl, tl, base, wl, expires, notbefore, deadline, crashes,
    releases, attempt, started, cancel, size, claim, rev, updated, completed, natt, el, pl, al
    = sunpack(LONG, s)
  local trace = LONG_BYTES + 1 + nl
  local worker = trace + tl
  local err = worker + wl
  local progress = err + el
  local attempts = progress + pl
  r.created, r.seq, r.max, r.base, r.expires, r.notbefore = created, seq, max, base, expires, notbefore
  r.deadline, r.crashes, r.releases, r.attempt, r.started = deadline, crashes, releases, attempt, started
  r.cancel, r.size, r.claim, r.rev, r.updated, r.completed = cancel, size, claim, rev, updated, completed
  r.natt, r.name, r.trace = natt, ssub(s, LONG_BYTES + 1, trace - 1), ssub(s, trace, worker - 1)
  r.worker, r.error = ssub(s, worker, err - 1), ssub(s, err, progress - 1)
  r.progress, r.attempts = ssub(s, progress, attempts - 1), ssub(s, attempts, attempts + al - 1)
  return attempts + al
end

local function decode_short(s, r, with_base)
  local _, _, created, seq, max, nl, tl = sunpack(SHORT, s)
  local name = SHORT_BYTES + 1
  r.base = created
  if with_base then
    if #s < SHORT_BYTES + 6 then return #s + 1 end
    r.base, name = sunpack('>I6', s, name), name + 6
  end
  local trace = name + nl
  r.created, r.seq, r.max, r.updated, r.rev = created, seq, max, created, 1
  r.attempt, r.crashes, r.releases, r.claim, r.natt = 0, 0, 0, 0, 0
  r.notbefore, r.started, r.completed, r.expires, r.cancel, r.deadline = 0, 0, 0, 0, 0, 0
  r.worker, r.error, r.progress, r.attempts = '', '', '', ''
  r.name, r.trace = ssub(s, name, trace - 1), ssub(s, trace, trace + tl - 1)
  return trace + tl
end

-- Returns a table, or nil and why: 'newer', 'corrupt'.
local function decode(s)
  if #s < 2 then return nil, 'corrupt' end
  local version, bits = sbyte(s, 1, 2)
  version = version - KIND
  if version < 1 or version > 15 then return nil, 'corrupt' end
  if version > VERSION then return nil, 'newer' end
  local long = bits % 16 > 7
  local r = {state = bits % 8, prio = floor(bits / 16) % 4, suspect = bits % 128 > 63,
    apart = long and bits > 127}
  if r.state > 5 or r.prio > 2 or #s < (long and LONG_BYTES or SHORT_BYTES)
    or not long and (r.state ~= QUEUED or r.suspect) then
    return nil, 'corrupt'
  end
  local tail = long and decode_long(s, r) or decode_short(s, r, bits > 127)
  local body = #s - tail + 1 - request_bytes(s, tail)
  if body < 0 then return nil, 'corrupt' end
  r.size, r.tail = r.size or body, ssub(s, tail)
  return r
end

-- The record without the request: all that a reader of its state needs.
local function encode_state(r)
  return spack(LONG, KIND + VERSION,
    r.state + 8 + r.prio * 16 + (r.suspect and 64 or 0) + (r.apart and 128 or 0), r.created, r.seq,
    r.max, #r.name, #r.trace, r.base, #r.worker, r.expires, r.notbefore, r.deadline, r.crashes,
    r.releases, r.attempt, r.started, r.cancel, r.size, r.claim, r.rev, r.updated, r.completed,
    r.natt, #r.error, #r.progress, #r.attempts)
    .. r.name .. r.trace .. r.worker .. r.error .. r.progress .. r.attempts
end
