-- reconcile: release, uncharged, the claims recorded for a worker that it does not hold.
-- KEYS: meta runs ready:high ready:normal ready:low suspects delayed held expiries
--   finished:completed finished:failed finished:canceled cancels counts totals idle bell
--   watch
-- META: tick paused closed ttl_ms
-- LIB: counters returns held_jobs
-- FEATURES: jobs WEBHOOKS GATE
-- FEATUREMETA: webhook_states webhook_pending gated
-- ARGV: 1 worker, 2 CLAIM for each job that it holds
-- RETURNS: how many; ids of records that cannot be read
local worker, known = ARGV[1], {}
for at = 1, #ARGV[2], layout.CLAIM.size do
  local layout.CLAIM.fields = sunpack(layout.CLAIM.format, ARGV[2], at)
  known[id] = claim
end
local mine, unreadable = held_jobs.read(worker)
local released = 0
for _, pair in ipairs(mine) do
  local id, r = pair[1], pair[2]
  if known[id] ~= r.claim then
    counters.tally('released', 1)
    released = released + 1
    held_jobs.give_back(id, r, false, false, 4)
  end
end
returns.flush()
return {released, unreadable}
