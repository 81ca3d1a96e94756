"""Loads endpoints from files, or reports every fault with its line and column."""

from asyncendpoints_core.manifest.loader import Loaded, Manifest, check, load

__all__ = ["Loaded", "Manifest", "check", "load"]
