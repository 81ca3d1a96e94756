-- quarantine: set records aside that cannot be read, wherever their jobs stand, and drop ids whose
-- record is missing. Rare, so it may look in every line.
-- KEYS: meta jobs blobs ready:high ready:normal ready:low suspects delayed running held expiries
--   finished:completed finished:failed finished:canceled corrupt cancels counts totals watch
-- META: tick
-- LIB: batch record counts events finish corrupt
-- ARGV: 1 ids, 2 '1' when the client cannot read the request though the state is sound
-- RETURNS: how many were set aside
local PLACES = {
  {ready_high, QUEUED}, {ready_normal, QUEUED}, {ready_low, QUEUED}, {suspects, QUEUED},
  {delayed, SCHEDULED}, {running, RUNNING}, {finished_completed, COMPLETED},
  {finished_failed, FAILED}, {finished_canceled, CANCELED},
}
local done = 0

local function place_of(id)
  for _, place in ipairs(PLACES) do
    if call('ZSCORE', place[1], id) then return place[1], place[2] end
  end
end

local function holder_of(id)
  local cursor = '0'
  repeat
    local page = call('ZSCAN', held, cursor, 'COUNT', 1000)
    for i = 1, #page[2], 2 do
      if ssub(page[2][i], -16) == id then return page[2][i] end
    end
    cursor = page[1]
  until cursor == '0'
end

for i = 1, #ARGV[1], 16 do
  local id = ssub(ARGV[1], i, i + 15)
  local record = call('HGET', jobs, id)
  local r, why
  if record then r, why = decode(record) end
  local key, state = place_of(id)
  if why ~= 'newer' and (why or not record and key or r and ARGV[2] == '1') then
    if key then call('ZREM', key, id) end
    call('ZREM', expiries, id)
    call('HDEL', cancels, id)
    if state == RUNNING then
      local member = holder_of(id)
      if member then call('ZREM', held, member) end
    end
    if not record then
      drop_missing(state)
    else
      if r and state and state < COMPLETED then freed = freed + r.size end
      local aside = put_aside(id, record, state or FAILED)
      call('HSET', jobs, id, encode_state(aside) .. aside.tail)
    end
    call('HDEL', blobs, id)
    done = done + 1
  end
end
flush(set_aside)
flush_finished()
flush_counts()
publish()
return done
