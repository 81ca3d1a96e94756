"""The next version of the handlers: it knows a job that the older ones do not."""

from asyncendpoints import handler


@handler("hold_later")
async def hold_later() -> str:
    return "known by now"
