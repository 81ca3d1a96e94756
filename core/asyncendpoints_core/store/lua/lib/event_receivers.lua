-- The receivers that clients named for a job, of whose end no deliveries were made yet. They are read
-- from the job; what removes it, or queues it again, keeps them here.
-- LIB: record
-- LAZY:
local event_receivers = {}

-- Keeps those of the end of a job with `revision`; `job`: its record, read if absent.
function event_receivers.keep(id, revision, job)
  if band(webhook_states, CLIENT_RECEIVERS) == 0 then return end
  local of = spack(layout.JOB_END.format, layout.JOB_END.fields)
  if not call('ZSCORE', unsent_events, of) then return end
  job = job or call('HGET', jobs, id)
  local carried = job and record.attributes(job)
  -- Also where there are none: they may get some before the deliveries are made.
  call('HSET', outbox_receivers, of, carried and carried.webhooks or '')
end

return event_receivers
