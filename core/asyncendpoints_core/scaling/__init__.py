"""How many workers an endpoint should have, and which go first. Pure decisions."""
