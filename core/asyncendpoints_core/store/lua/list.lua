-- list: one section of a listing, newest first, below a position in it.
-- KEYS: meta jobs runs ready:high ready:normal ready:low suspects delayed held finished:completed
--   finished:failed finished:canceled
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time record
-- FLAGS: read
-- ARGV: 1 section (running queued scheduled final completed failed canceled), 2 how many, 3 when the
--   listing began or '', 4 number and 5 id to go on below, both '' at the start, 6 how many to look
--   at, 7 name, 8 key, 9 schedule, 10 code of the error, each '' for any; 11 created since,
--   12 and before; 13… tags: only jobs with all of these
-- RETURNS: context; number and id to go on below, or '' at the section's end; how many were looked
--   at; then id and state
local SECTIONS = {
  running = {}, scheduled = {delayed}, queued = {ready_high, ready_normal, ready_low},
  completed = {finished_completed}, failed = {finished_failed}, canceled = {finished_canceled},
  final = {finished_completed, finished_failed, finished_canceled},
}
local CHUNK = 100
local want, begun = tonumber(ARGV[2]), tonumber(ARGV[3])
local number, below = tonumber(ARGV[4]), ARGV[5]
local most, name, key, schedule, code = tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local since, before_ms = tonumber(ARGV[11]), tonumber(ARGV[12])

-- Ids as bytes, in four numbers: Lua compares strings by the locale.
local WORDS = '>I4I4I4I4'
local function less(a, b)
  local a1, a2, a3, a4 = sunpack(WORDS, a)
  local b1, b2, b3, b4 = sunpack(WORDS, b)
  if a1 ~= b1 then return a1 < b1 end
  if a2 ~= b2 then return a2 < b2 end
  if a3 ~= b3 then return a3 < b3 end
  return a4 < b4
end
local function before(a, b)
  if a[1] ~= b[1] then return a[1] > b[1] end
  return less(b[2], a[2])
end

-- A reader of one zset, from high to low: `pairs` are number and id.
local function open(key)
  local at = 0
  if number then
    local score = tonumber(call('ZSCORE', key, below) or -1)
    if score == number then
      at = call('ZREVRANK', key, below) + 1
    else
      at = call('ZCOUNT', key, '(' .. ARGV[4], '+inf')
    end
  end
  local reader = {pairs = {}, next = 1}
  function reader.peek()
    while true do
      local pair = reader.pairs[reader.next]
      if pair then
        if not number or pair[1] < number or less(pair[2], below) then return pair end
        reader.next = reader.next + 1
      else
        local flat = call('ZREVRANGE', key, at, at + CHUNK - 1, 'WITHSCORES')
        if #flat == 0 then return nil end
        at, reader.pairs, reader.next = at + #flat / 2, {}, 1
        for i = 1, #flat, 2 do
          reader.pairs[#reader.pairs + 1] = {tonumber(flat[i + 1]), flat[i]}
        end
      end
    end
  end
  return reader
end

-- What is kept in another order: few, so it is read whole and sorted here.
local function open_sorted(list)
  local kept = {}
  for _, pair in ipairs(list) do
    if not number or pair[1] < number or pair[1] == number and less(pair[2], below) then
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

local function shown(job, r)
  if name ~= '' and r.name ~= name then return false end
  if code ~= '' and record.error_code(r) ~= code then return false end
  if r.created_at < since or r.created_at >= before_ms then return false end
  if #ARGV < 13 and key == '' and schedule == '' then return true end
  local carried = record.attributes(job)
  if not carried or key ~= '' and carried.key ~= key then return false end
  if schedule ~= '' and carried.schedule ~= schedule then return false end
  local tags = ',' .. carried.tags .. ','
  for i = 13, #ARGV do
    if not string.find(tags, ',' .. ARGV[i] .. ',', 1, true) then return false end
  end
  return true
end

local readers = {}
for i, key in ipairs(SECTIONS[ARGV[1]]) do readers[i] = open(key) end
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
return {time.context(), last and string.format('%.0f', last[1]) or '', last and last[2] or '',
  looked, unpack(out)}
