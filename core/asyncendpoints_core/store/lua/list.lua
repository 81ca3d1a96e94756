-- list: one section of a listing, newest first, below a position in it.
-- KEYS: meta jobs runs ready:high ready:normal ready:low suspects delayed held finished:completed
--   finished:failed finished:canceled gate:order
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time record descending matching
-- FEATURES: pauses
-- FEATURELIB: pauses
-- FLAGS: read
-- ARGV: 1 section (running queued scheduled final completed failed canceled), 2 how many, 3 when the
--   listing began or '', 4 number and 5 id to go on below, both '' at the start, 6 how many to look
--   at, 7 name, 8 key, 9 schedule, 10 code of the error, each '' for any; 11 created since,
--   12 and before; 13… tags: only jobs with all of these
-- RETURNS: context; number and id to go on below, or '' at the section's end; how many were looked
--   at; then id and state
local SECTIONS = {
  running = {}, scheduled = {delayed}, queued = {ready_high, ready_normal, ready_low, gate_order},
  completed = {finished_completed}, failed = {finished_failed}, canceled = {finished_canceled},
  final = {finished_completed, finished_failed, finished_canceled},
}
local gated = call('ZCARD', gate_order) > 0
local want, begun = tonumber(ARGV[2]), tonumber(ARGV[3])
local number, below = tonumber(ARGV[4]), ARGV[5]
local most = tonumber(ARGV[6])
local shown = matching({
  name = ARGV[7], key = ARGV[8], schedule = ARGV[9], code = ARGV[10], since = tonumber(ARGV[11]),
  before = tonumber(ARGV[12]), tags = {unpack(ARGV, 13)},
})

local function before(a, b)
  if a[1] ~= b[1] then return a[1] > b[1] end
  return descending.less(b[2], a[2])
end

-- What is kept in another order: few, so it is read whole and sorted here.
local function open_sorted(list)
  local kept = {}
  for _, pair in ipairs(list) do
    if not number or pair[1] < number or pair[1] == number and descending.less(pair[2], below) then
      kept[#kept + 1] = pair
    end
  end
  list = kept
  table.sort(list, before)
  local reader = {next = 1}
  function reader.peek() return list[reader.next] end
  return reader
end

-- Suspects are kept by the time they may run, not by sequence number.
local function suspects_by_seq()
  local list = {}
  for _, id in ipairs(call('ZRANGE', suspects, 0, 999)) do
    local r = record.decode(nil, call('HGET', runs, id))
    if r then list[#list + 1] = {r.seq, id} end
  end
  return list
end

-- Running jobs are kept by worker; the claim number is in the member.
local function running_by_claim()
  local list = {}
  for _, member in ipairs(call('ZRANGEBYLEX', held, '[\1', '+', 'LIMIT', 0, 10000)) do
    list[#list + 1] = {record.read_held_member(member)}
  end
  return list
end

local readers = {}
for i, key in ipairs(SECTIONS[ARGV[1]]) do
  -- A job in both is listed by its sequence number, not by where it stands.
  readers[i] = descending.open(key, number, below, gated and key ~= gate_order and gate_order)
end
if ARGV[1] == 'queued' then readers[#readers + 1] = open_sorted(suspects_by_seq()) end
if ARGV[1] == 'running' then readers[1] = open_sorted(running_by_claim()) end
local out, last, looked = {}, nil, 0
while looked < most do
  if #out >= want then break end
  local best, from
  for _, reader in ipairs(readers) do
    local pair = reader.peek()
    if pair and (not best or before(pair, best)) then best, from = pair, reader end
  end
  last = best
  if not best then break end
  looked, from.next = looked + 1, from.next + 1
  local job, run = call('HGET', jobs, best[2]), call('HGET', runs, best[2])
  local r = job and record.decode(job, run)
  if r and (not begun or r.updated_at <= begun) and shown(job, r) then
    out[#out + 1] = string.format('%.0f', best[1]) .. ' ' .. best[2] .. record.head(job, run)
  end
end
return {time.context(pauses), last and string.format('%.0f', last[1]) or '', last and last[2] or '',
  looked, unpack(out)}
