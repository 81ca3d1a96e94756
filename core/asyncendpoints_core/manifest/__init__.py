"""From files that users write to endpoints, or to every fault with its line and column."""
