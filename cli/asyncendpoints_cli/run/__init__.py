"""`asyncendpoints run`: gateways, workers that scale, recovery and sweep, on one machine."""
