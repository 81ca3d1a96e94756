"""The memory store: one process, for `run` without Redis, for tests and for attached apps."""

from asyncendpoints_core.store.memory.store import MemoryStore

__all__ = ["MemoryStore"]
