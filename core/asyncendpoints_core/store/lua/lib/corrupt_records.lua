-- A record that cannot be read: its bytes are kept in `corrupt`, and the job becomes Failed.
-- LIB: batch record counters finish save
-- LAZY: flush
local corrupt_records = {}
local on_corrupt, set_jobs = batch.new('HSET', corrupt), batch.new('HSET', jobs)
-- Replaces a job that cannot be read: no name, an empty request.
local function blank_job()
  local format, flags, created_at = layout.FORMAT, layout.JOB.unit.priority, now
  local seq, max_attempts, name_size, trace_size = 0, 0, 0, 0
  return spack(layout.JOB.format, layout.JOB.fields) .. '\1\144'
end
local BLANK = blank_job()

-- The name is lost with the record; the counts must still add up, so take the likeliest.
function corrupt_records.lost_name(state, bytes)
  local best, most = '', 0
  local all = call('HGETALL', counts)
  for i = 1, #all, 2 do
    local field, size = all[i], tonumber(all[i + 1]) + counters.added(all[i])
    if size > 0 and sbyte(field) == 48 + state then
      local name = ssub(field, 2)
      if name ~= '' and bytes and string.find(bytes, name, 1, true) then return name end
      if size > most then best, most = name, size end
    end
  end
  return best
end

-- An id without a record: counted, and dropped from its queue by the caller.
function corrupt_records.drop_missing(state)
  counters.bump(state, corrupt_records.lost_name(state), -1)
  counters.tally('corrupt', 1)
end

-- `bytes` are what could not be read, `job` what the hash `jobs` has. The caller takes the id out of
-- its queue.
function corrupt_records.keep(id, bytes, state, job)
  batch.add(on_corrupt, id, bytes)
  counters.tally('corrupt', 1)
  if not job or not record.decode_job(job) then
    job = BLANK
    batch.add(set_jobs, id, job)
  end
  local r = record.decode_job(job)
  r.state, r.max_attempts, r.body_size = state, 0, 0
  if r.name == '' then r.name = corrupt_records.lost_name(state, bytes) end
  r.error = finish.error_text('corrupt', "the job's record could not be read")
  finish.job(id, r, FAILED)
  r.revision = 1
  save.run(id, r)
end

function corrupt_records.flush()
  batch.flush(on_corrupt)
  batch.flush(set_jobs)
end

return corrupt_records
