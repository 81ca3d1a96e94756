-- read_figures: read a ring of figures and the scaling steps.
-- KEYS: meta figures:10 figures:600 figures:steps figures:scaling
-- META: tick
-- FLAGS: read
-- ARGV: 1 the step of the ring in seconds
-- RETURNS: now; FIGURES of each entry; the scaling decision; the steps, the oldest first
local ring = ARGV[1] == '10' and figures_10 or figures_600
return {now, call('GET', ring) or '', call('GET', figures_scaling) or '',
  call('ZRANGE', figures_steps, 0, -1)}
