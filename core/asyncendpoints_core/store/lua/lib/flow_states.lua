-- What each flow waits for: = and the job that stands in a line for it, or why it is parked and where.
-- LIB: gate_data
-- IF: gated > 0
-- LAZY:
local flow_states = gate_data.hash(gate_states)

return flow_states
