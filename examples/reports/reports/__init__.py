"""Reports from CSV files. Only jobs.py depends on asyncendpoints."""
