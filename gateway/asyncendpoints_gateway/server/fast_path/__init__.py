"""The fast path for plain submissions, and all that leans on the internals of aiohttp."""
