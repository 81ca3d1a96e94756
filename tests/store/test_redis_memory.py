"""What a waiting job weighs in Redis."""

from bench.store_redis import Bench, bytes_per_job
from support.redis.server import RedisServer

LIMIT = 400  # bytes, every index included, for a body of 100 bytes


async def test_a_waiting_job_weighs_little() -> None:
    with RedisServer() as server:
        bench = Bench(server.url)
        await bench.open()
        weight = await bytes_per_job(bench, 10_000)
        await bench.close()
    assert weight <= LIMIT
