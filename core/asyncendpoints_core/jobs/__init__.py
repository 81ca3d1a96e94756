"""A job: its id, states, records, retry decisions and policy. Pure."""
