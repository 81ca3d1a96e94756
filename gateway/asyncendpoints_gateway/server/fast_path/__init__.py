"""The fast path for plain submissions: all code that relies on internals of aiohttp."""
