"""The loop of one process: claims jobs, runs them, settles outcomes, keeps leases."""
