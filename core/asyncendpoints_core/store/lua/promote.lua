-- promote: queue Scheduled jobs now, before they are due.
-- KEYS: meta jobs runs ready:high ready:normal ready:low suspects delayed expiries
--   finished:completed finished:failed finished:canceled corrupt counts totals gone idle bell watch
-- META: tick safety seq bytes paused closed suspended ttl_ms completed_ms failed_ms
-- LIB: record counters events wake_up queue
-- FEATURES: jobs WEBHOOKS GATE
-- FEATUREMETA: webhook_states webhook_pending gated
-- ARGV: 1 ids, 100 at most
-- RETURNS: a letter for each: p no longer Scheduled (expired, if its time to live was over), n was not
--   Scheduled, m missing, g gone, v of a newer version
local ids, out, wanted, seen = record.split_ids(ARGV[1]), {}, {}, {}
for i, run in ipairs(call('HMGET', runs, unpack(ids))) do
  local id = ids[i]
  local job = call('HGET', jobs, id)
  local r, why = record.decode(job, run)
  if run and r and r.state == SCHEDULED and not seen[id] then
    out[i], seen[id], wanted[#wanted + 1] = 'p', true, id
  else
    if why == 'newer' then
      out[i] = 'v'
    elseif job then
      out[i] = 'n'
    else
      out[i] = call('ZSCORE', tombstones, id) and 'g' or 'm'
    end
  end
end
if #wanted > 0 then
  if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
  local promoted = queue.promote(wanted)
  counters.flush()
  wake_up(promoted - queue.held_back)
  events.publish()
end
return table.concat(out)
