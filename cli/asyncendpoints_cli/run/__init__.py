"""`asyncendpoints run`: gateways, autoscaled workers, recovery and cleanup on one machine."""
