"""The console's pages: rendered here, and refreshed by a small script of their own."""
