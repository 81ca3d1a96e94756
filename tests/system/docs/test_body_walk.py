"""The walk of a request's body in docs/architecture.md names every file that one passes through."""

import asyncio
import re
import sys
from types import FrameType

from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_worker.handlers.registry import HANDLER, Declaration, Registry
from asyncendpoints_worker.local import LocalWorker
from support.http.gateway import endpoint, serving
from support.redis.server import RedisServer
from support.store.work import eventually
from support.walks import FILE, PAGE, steps, traced

SENT = 5
WALK = PAGE.partition("### A request's body")[2].partition("\n### ")[0]
PRODUCT = re.compile(r"/asyncendpoints_\w+/(.+\.py)$")
BODY = b'{"a": 1}'
REQUEST = (
    b"POST /reports/7 HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


def named() -> tuple[set[str], set[str]]:
    """Return the files of the page's list, and those that it says give a value only."""
    values = WALK.partition("only give a value")[2].partition("\n\n")[0]
    return set(FILE.findall(steps(WALK))), set(FILE.findall(values))


def answers(frame: FrameType | None) -> bool:
    """Return whether a function is called for the response, which goes the other way."""
    while frame is not None:
        if frame.f_code.co_qualname == "PendingResponse.set_result":
            return True
        frame = frame.f_back
    return False


async def test_the_page_names_every_file() -> None:
    received: asyncio.Queue[None] = asyncio.Queue()

    async def handle(body: dict[str, int]) -> None:
        sys.setprofile(None)
        assert body == {"a": 1}
        received.put_nowait(None)

    spec, walks = endpoint(), [set[str]() for _ in range(SENT)]
    handlers = Registry.of([Declaration(HANDLER, "build-report", handle, "m:1")])
    with RedisServer() as server:
        store, own = (RedisStore(server.url, spec.key) for _ in range(2))
        await own.open()
        async with serving(store, spec) as site:
            worker = LocalWorker(spec, own, handlers, concurrency=4, keeper=False)
            await worker.start()
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            for walk in [set[str](), *walks]:  # the first one also connects
                await eventually(lambda: not worker.held)  # the last one's outcome is delivered
                with traced(walk, PRODUCT, answers):
                    writer.write(REQUEST)
                    await asyncio.wait_for(received.get(), 20)
                await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            await worker.stop(0)
        await own.close()
        await store.close()
    listed, values = named()
    # Other tasks run meanwhile too, but not during every request.
    assert set.intersection(*walks) <= listed | values
    assert listed | values <= set.union(*walks)
