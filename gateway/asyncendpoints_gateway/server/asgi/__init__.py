"""The gateway as an ASGI application: inside FastAPI, Starlette, Litestar, around Django, alone."""
