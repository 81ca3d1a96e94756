-- Jobs as tables. Their bytes: store/record_layout.py, from which `layout` is made.
-- What never changes is in `jobs`, what does is in `runs`; a job without a run waits as it was made.
local record = {}

-- Returns nil for a first byte of this format, else why it is not: 'newer', 'corrupt'.
local function fault(s)
  local version = (sbyte(s, 1) or 0) - layout.KIND
  if version == layout.VERSION then return nil end
  return version > layout.VERSION and version < 16 and 'newer' or 'corrupt'
end

-- How long the stored request at `at` is without its body.
function record.request_bytes(s, at)
  if #s < at then return #s end -- longer than the record: corrupt
  local size = layout.request_size(s, at)
  if size < layout.LONG_MARK then return layout.REQUEST_SIZE + size end
  if #s < at + layout.LONG_REQUEST_SIZE - 1 then return #s end
  return layout.LONG_REQUEST_SIZE + layout.long_request_size(s, at)
end

-- The run of a job without one, as a table; or nil and why.
function record.decode_job(s)
  local why = fault(s)
  local job = not why and #s >= layout.JOB_SIZE and layout.read_job(s)
  if not job then return nil, why or 'corrupt' end
  local size = job.body_size or #s - job.request_at + 1 - record.request_bytes(s, job.request_at)
  if size < 0 or #s < job.request_at then return nil, 'corrupt' end
  local r = layout.new_run()
  r.priority, r.created_at, r.seq, r.max_attempts = job.priority, job.created_at, job.seq,
    job.max_attempts
  r.ttl_from, r.updated_at, r.revision = job.ttl_from or job.created_at, job.created_at, 1
  r.name, r.body_size, r.body_apart = job.name, size, job.body_apart
  return r
end

-- A run as a table, or nil and why.
function record.decode_run(s)
  local why = fault(s)
  local r = not why and #s >= layout.RUN_SIZE and layout.read_run(s)
  if not r then return nil, why or 'corrupt' end
  if r.ttl_from == 0 then r.ttl_from = r.created_at end
  return r
end

-- What is known of a job: of its run if there is one. Nil without a record; or nil and why.
function record.decode(job, run)
  if run then return record.decode_run(run) end
  if job then return record.decode_job(job) end
end

function record.encode_run(r)
  return layout.write_run(r)
end

-- The code of a job's error, '' without one.
function record.error_code(r)
  return r.error ~= '' and layout.error_code(r.error) or ''
end

-- The line in which a job waits, by number; nil when it does not wait or cannot be read.
function record.waiting_line(job, run)
  local s, size = run or job, run and layout.RUN_SIZE or layout.JOB_SIZE
  if #s < size then return nil end
  local state, priority = QUEUED, nil
  if run then state, priority = layout.run_line(run) else priority = layout.job_priority(job) end
  return state == QUEUED and priority <= 2 and priority or nil
end

-- A list of ids that are written one after the other.
function record.split_ids(s)
  local ids, size = {}, layout.IDS_SIZE
  for at = 1, #s, size do ids[#ids + 1] = ssub(s, at, at + size - 1) end
  return ids
end

-- The claim number and the id in a member of `held`.
function record.read_held_member(member)
  return layout.read_held(member, #member - layout.HELD_SIZE + 1)
end

function record.held_id(member)
  return (select(2, record.read_held_member(member)))
end

-- The member of `held` for a job that a worker holds: each worker's in the order of its claims.
function record.held_member(id, r)
  return r.worker .. '\0' .. layout.pack_held(r.claim, id)
end

return record
