-- write_logs: add lines to the logs of attempts, each fenced by its claim, which may have ended.
-- KEYS: meta runs
-- META: tick safety
-- LIB: record guard
-- FEATURELIB: logs
-- FEATURES: logs logs:times
-- FEATUREMETA: log_bytes
-- FLAGS: deny-oom
-- ARGV: 1 LOG_WRITE for each; 2 their texts one after the other; 3 bytes that an attempt may have,
--   4 and the endpoint; 5… the workers
-- RETURNS: a letter for each: a applied, s stale
local items, texts, ITEM = ARGV[1], ARGV[2], layout.LOG_WRITE.size
local limit, budget = tonumber(ARGV[3]), tonumber(ARGV[4])
local ids, out, text_at = {}, {}, 1
for at = layout.LOG_WRITE.at.id, #items, ITEM do
  ids[#ids + 1] = ssub(items, at, at + layout.LOG_WRITE.width.id - 1)
end
local stored = call('HMGET', runs, unpack(ids))
for i = 1, #ids do
  local layout.LOG_WRITE.fields = sunpack(layout.LOG_WRITE.format, items, (i - 1) * ITEM + 1)
  local r = stored[i] and record.decode_run(stored[i])
  if not r or r.claim ~= claim or r.worker ~= ARGV[5 + worker_index] then
    out[i] = 's'
  elseif unless_completed == 1 and r.state == COMPLETED then
    logs.drop(id, claim)
    out[i] = 'a'
  else
    if text_size > 0 then
      logs.add(id, claim, attempt, position, ssub(texts, text_at, text_at + text_size - 1), limit)
    end
    out[i] = 'a'
  end
  text_at = text_at + layout.LOG_WRITE.parts_size
end
logs.save(budget)
guard(log_records)
guard(logs_times)
return table.concat(out)
