"""What the API and the pages show, read from the stores as plain values."""
