"""HTTP in, `202 Accepted` out: turns requests into jobs and answers questions about them."""
