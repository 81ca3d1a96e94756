"""Reports from CSV files: the work itself knows nothing of jobs; jobs.py ties it to them."""
