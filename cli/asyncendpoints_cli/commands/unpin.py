"""`asyncendpoints unpin`: removes spec.replicas, so that autoscaling resumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_cli.extras import extra

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Remove spec.replicas from the resource."""
    with extra("operator"):
        from asyncendpoints_operator.main.unpin import unpin
    unpin(options.name, options.namespace, options.kubeconfig, options.context)
    return 0
