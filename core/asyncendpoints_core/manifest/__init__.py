"""From files that users write to endpoints, or to every fault with its line and column."""

from asyncendpoints_core.manifest.loader import Loaded, Manifest, check, load

__all__ = ["Loaded", "Manifest", "check", "load"]
