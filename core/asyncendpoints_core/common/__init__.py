"""What all roles share and no other package of core is about."""
