"""The views: each takes a request of our own and returns an answer of our own."""
