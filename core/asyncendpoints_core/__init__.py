"""The domain of asyncendpoints: jobs, their states, retries, and the stores that keep them.

Knows no HTTP server and no Kubernetes.
"""

from importlib.metadata import version

__version__ = version("asyncendpoints")
