"""The gateway on aiohttp: as a server of its own, and inside an application."""
