"""The Redis servers of the endpoints, and what is read from them."""
