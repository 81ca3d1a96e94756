"""Free TCP ports for the servers that tests start."""

import random
import socket

# Below the ephemeral range of every system: while a server is down, no client's outgoing
# connection can take its port (or connect to itself on it). Port + 10000, which Redis Cluster
# uses for its bus, stays below it too.
FIRST, LAST = 11_000, 21_999
CLUSTER_BUS = 10_000


def is_free(port: int) -> bool:
    """Tell whether `port` can be bound on 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that is free now, and whose Redis Cluster bus port is free too."""
    for port in random.sample(range(FIRST, LAST + 1), 200):
        if is_free(port) and is_free(port + CLUSTER_BUS):
            return port
    raise RuntimeError(f"no free port found between {FIRST} and {LAST}")
