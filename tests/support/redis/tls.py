"""A TLS front for a server that was built without TLS, in a thread of its own."""

import asyncio
import contextlib
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Self

from support.lifetime import Lifetime
from support.redis.server import RedisServer


def certificates(folder: Path) -> None:
    """Make cert.pem, a certificate for 127.0.0.1 that vouches for itself, and key.pem."""
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-pkeyopt", "ec_paramgen_curve:prime256v1"]
    names = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", *curve, "-nodes", *subject, *names],
        check=True,
        capture_output=True,
    )


class TlsFront(Lifetime):
    """Listens with TLS, and forwards what it decrypts to `server`."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._folder = tempfile.TemporaryDirectory(prefix="tls-")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0

    @property
    def certificate(self) -> Path:
        """The certificate that clients must trust."""
        return Path(self._folder.name) / "cert.pem"

    @property
    def url(self) -> str:
        """The URL of database 0, with the certificate that vouches for the server."""
        return f"rediss://127.0.0.1:{self.port}/0?ssl_ca_certs={self.certificate}"

    def start(self) -> Self:
        """Listen on a free port."""
        certificates(Path(self._folder.name))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.certificate.with_name("key.pem"))
        self._thread.start()
        listening = asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=context)
        self._listener = asyncio.run_coroutine_threadsafe(listening, self._loop).result(30)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not the coroutine itself: a task that is cancelled before its first step closes nothing.
        self._writers.add(writer)
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection(
                self._server.host, self._server.port
            )
            ways = [
                asyncio.ensure_future(_copy(reader, far_writer)),
                asyncio.ensure_future(_copy(far_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                far_writer.transport.abort()
        writer.transport.abort()
        self._writers.discard(writer)

    def close(self) -> None:
        """End every connection."""

        async def end() -> None:
            if self._listener is not None:
                self._listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)  # transports close in the loop's next turn

        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(30)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(30)
        self._loop.close()
        self._folder.cleanup()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
