-- Cancels: waiting jobs are Canceled, of running ones it is requested.
-- LIB: batch ready events finish save lines other_revision
local canceling = {}
local set_cancels = batch.new('HSET', cancels)
local off_ready = batch.each('ZREM', ready)
local off_suspects, off_delayed = batch.new('ZREM', suspects), batch.new('ZREM', delayed)
local off_expiries = batch.new('ZREM', expiries)

-- `named`: the revisions of which the job has to have one (lib/other_revision). Returns c canceled,
-- r requested, f final, p another revision.
function canceling.job(id, r, named)
  if r.state > IN_PROGRESS then return 'f' end
  if r.state == IN_PROGRESS and r.cancel_requested_at > 0 then return 'r' end
  if other_revision(named, r) then return 'p' end
  if r.state == IN_PROGRESS then
    r.cancel_requested_at, r.updated_at, r.revision = now, now, r.revision + 1
    batch.add(set_cancels, id, r.worker)
    events.add(id, r.revision)
    save.run(id, r)
    return 'r'
  end
  if r.state == SCHEDULED then
    batch.add(off_delayed, id)
  elseif r.suspect then
    batch.add(off_suspects, id)
  else
    batch.add(off_ready[r.priority], id)
  end
  if r.expires_at > 0 or r.claim > 0 then batch.add(off_expiries, id) end
  r.error = ''
  finish.job(id, r, CANCELED)
  save.run(id, r)
  return 'c'
end

function canceling.flush()
  save.flush()
  batch.flush(set_cancels)
  lines.remove(off_ready)
  batch.flush(off_suspects)
  batch.flush(off_delayed)
  batch.flush(off_expiries)
  finish.flush()
end

return canceling
