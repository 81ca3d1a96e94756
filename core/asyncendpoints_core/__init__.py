"""The domain of asyncendpoints: jobs, their states, retries, and the stores that keep them.

Knows no HTTP server and no Kubernetes.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Read the version when it is first used: a module of handlers starts without that."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version

        globals()[name] = found = version("asyncendpoints")
        return found
