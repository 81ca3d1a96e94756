"""`python -m support.kube.provider up | down`: the test cluster by hand.

Progress goes to stderr; `up` prints two export lines to stdout, KUBECONFIG last, so that
`eval "$(make -s cluster)"` puts kubectl and helm to work.
"""

import argparse
import logging
import os
import sys

from support.kube.provider import session
from support.kube.provider.client import Cluster
from support.kube.provider.progress import to_stream
from support.kube.provider.shell import ClusterError

PROVIDER_VARIABLE = "ASYNCENDPOINTS_CLUSTER_PROVIDER"


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="support.kube.provider", description="the test cluster")
    parser.add_argument("command", choices=("up", "down"))
    default = os.environ.get(PROVIDER_VARIABLE, "auto")
    parser.add_argument("--cluster-provider", choices=session.CHOICES, default=default)
    options = parser.parse_args()
    to_stream(sys.stderr)
    try:
        if options.command == "down":
            session.down()
            return 0
        provider = session.choose(options.cluster_provider)
        session.up(provider)
        cluster = Cluster(provider)
    except ClusterError as error:
        logging.getLogger("cluster").error("%s", error)
        return 1
    sys.stdout.write(f'export PATH="{cluster.environment["PATH"]}"\n')
    sys.stdout.write(f"export KUBECONFIG={cluster.kubeconfig}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
