-- A record that cannot be read: its bytes go aside, restorable, and the job becomes Failed.
local set_aside = batch('HSET', corrupt)

-- The name is lost with the record; the counts must still add up, so take the likeliest.
local function lost_name(state, bytes)
  local best, most = '', 0
  local all = call('HGETALL', counts)
  for i = 1, #all, 2 do
    local field, size = all[i], tonumber(all[i + 1]) + (by_name[all[i]] or 0)
    if size > 0 and string.byte(field) == 48 + state then
      local name = string.sub(field, 2)
      if name ~= '' and bytes and string.find(bytes, name, 1, true) then return name end
      if size > most then best, most = name, size end
    end
  end
  return best
end

-- An id without a record: counted, and dropped from its line by the caller.
local function drop_missing(state)
  bump(state, lost_name(state), -1)
  tally('corrupt', 1)
end

-- Returns the Failed record that takes the place of `bytes`.
local function put_aside(id, bytes, state)
  add(set_aside, id, bytes)
  tally('corrupt', 1)
  local r = {
    state = state, prio = 1, suspect = false, apart = false, created = now, seq = 0, base = now, max = 0,
    attempt = 0, crashes = 0, releases = 0, rev = 1, claim = 0, updated = now, notbefore = 0,
    started = 0, completed = 0, expires = 0, cancel = 0, deadline = 0, size = 0, natt = 0,
    name = lost_name(state, bytes), trace = '', worker = '', progress = '', attempts = '',
    error = error_text('corrupt', "the job's record could not be read"), tail = '\1\144',
  }
  finish(id, r, FAILED)
  return r
end
