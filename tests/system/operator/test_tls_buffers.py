"""What TLS connections of the operator take, and that much data still passes through them."""

import subprocess
import sys
from pathlib import Path

from support.redis.tls import certificates

PROGRAM = """
import asyncio, ssl, sys, tracemalloc
from asyncendpoints_operator.kube.tls_buffers import limit_tls_buffers

CONNECTIONS, DATA = 8, bytes(range(256)) * 8192
certificate, key = sys.argv[1:]


async def answer(reader, writer):
    await reader.readexactly(1)
    writer.write(DATA)
    await writer.drain()
    writer.close()


async def main():
    limit_tls_buffers()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=serving)
    port = server.sockets[0].getsockname()[1]
    tracemalloc.start()
    opened = [
        await asyncio.open_connection("127.0.0.1", port, ssl=trusting) for _ in range(CONNECTIONS)
    ]
    print(tracemalloc.get_traced_memory()[0] // (2 * CONNECTIONS))
    for reader, writer in opened:
        writer.write(b"x")
        print(await reader.read() == DATA)
        writer.close()
    server.close()


asyncio.run(main())
"""


def test_each_connection_has_a_small_buffer_and_passes_any_amount_of_data(tmp_path: Path) -> None:
    certificates(tmp_path)
    names = [str(tmp_path / name) for name in ("cert.pem", "key.pem")]
    words = [sys.executable, "-c", PROGRAM, *names]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    size, *equal = done.stdout.split()
    assert equal == ["True"] * 8
    assert int(size) < 128 * 1024  # asyncio's own is 256 KiB
