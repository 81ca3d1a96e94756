"""Claims jobs and runs their handlers, under a supervisor that keeps their leases."""
