"""The gateway behind a server: routing, its own port, and inside an aiohttp application."""
