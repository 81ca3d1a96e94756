-- record_figures: add points to the rings of figures, and scaling steps to the newest.
-- KEYS: meta figures:10 figures:600 figures:steps figures:scaling
-- META: tick
-- FLAGS: deny-oom
-- ARGV: 1 FIGURES of each point of 10 s, 2 of 600 s; 3 and 4 how many entries these rings have;
--   5 the scaling decision, or empty; 6 how many steps are kept; then a time and a step each
-- RETURNS: nothing
-- An entry that has this step of time already, or a later one, stays as it is.
local KEPT_MS = 8 * 86400000
local SIZE = layout.FIGURES.size
local function add(key, points, entries)
  for at = 1, #points, SIZE do
    local slot = sunpack(layout.FIGURES.format.slot, points, at)
    local offset = slot % entries * SIZE
    if call('STRLEN', key) == 0 then call('SETRANGE', key, entries * SIZE - 1, '\0') end
    local stored = call('GETRANGE', key, offset, offset + layout.FIGURES.width.slot - 1)
    if sunpack(layout.FIGURES.format.slot, stored) < slot then
      call('SETRANGE', key, offset, ssub(points, at, at + SIZE - 1))
    end
  end
  call('PEXPIRE', key, KEPT_MS)
end

add(figures_10, ARGV[1], tonumber(ARGV[3]))
add(figures_600, ARGV[2], tonumber(ARGV[4]))
if ARGV[5] ~= '' then call('SET', figures_scaling, ARGV[5], 'PX', KEPT_MS) end
for i = 7, #ARGV, 2 do call('ZADD', figures_steps, ARGV[i], ARGV[i + 1]) end
call('ZREMRANGEBYRANK', figures_steps, 0, -1 - tonumber(ARGV[6]))
call('PEXPIRE', figures_steps, KEPT_MS)
return 0
