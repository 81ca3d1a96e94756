"""Webhooks to names whose addresses change, with a real name server: a program that has a network
namespace to itself (`unshare --map-root-user --net --mount`), with public addresses on its lo.

`python -m support.http.rebinding FOLDER` prints what came of each try, as JSON. The product is as
it is: the system's resolver asks the name server that /etc/resolv.conf names.
"""

import asyncio
import json
import socket
import ssl
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.resource.receiver_urls import parse_url
from asyncendpoints_gateway.webhooks.addresses import AddressRules
from asyncendpoints_gateway.webhooks.sending import Sender, SystemLookup

RECEIVER, SILENT, LOOPBACK = "93.184.216.34", "93.184.216.35", "127.0.0.1"
ANSWERS = {
    "turns.hooks.test": [[RECEIVER], [LOOPBACK]],
    "mixed.hooks.test": [[RECEIVER, LOOPBACK]],
    "inner.hooks.test": [[RECEIVER, "10.0.0.1"]],
    "order.hooks.test": [[SILENT, RECEIVER]],
}
"""Of each name, the addresses for one query after the other; the last ones stand."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class NameServer(asyncio.DatagramProtocol):
    """Answers queries for A records (RFC 1035 §4); of other types it has none."""

    def __init__(self) -> None:
        self._left = {name: list(answers) for name, answers in ANSWERS.items()}
        self.queries: Counter[str] = Counter()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, sender: Any) -> None:
        labels, at = [], 12
        while size := data[at]:
            labels.append(data[at + 1 : at + 1 + size].decode())
            at += size + 1
        question = data[12 : at + 5]
        name, (kind,) = ".".join(labels), struct.unpack_from(">H", data, at + 1)
        found: list[str] = []
        if kind == 1:
            self.queries[name] += 1
            left = self._left[name]
            found = left.pop(0) if len(left) > 1 else left[0]
        head = data[:2] + struct.pack(">5H", 0x8180, 1, len(found), 0, 0)
        records = [struct.pack(">3HIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(a) for a in found]
        self._transport.sendto(head + question + b"".join(records), sender)


def prepare(folder: Path) -> None:
    """Give the namespace its addresses and its resolver, and make a certificate."""
    (folder / "resolv.conf").write_text(f"nameserver {LOOPBACK}\n")
    for command in (
        "ip link set lo up",
        f"ip addr add {RECEIVER}/32 dev lo",
        f"ip addr add {SILENT}/32 dev lo",
        f"mount --bind {folder}/resolv.conf /etc/resolv.conf",
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=hooks -addext "
        f"subjectAltName=DNS:*.hooks.test -keyout {folder}/key.pem -out {folder}/cert.pem",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)


async def play(folder: Path) -> dict[str, Any]:
    """Send three times to each name."""
    connections: Counter[str] = Counter()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[writer.get_extra_info("sockname")[0]] += 1
        writer.write(OK)
        await writer.drain()
        writer.close()

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    loop = asyncio.get_running_loop()
    _, names = await loop.create_datagram_endpoint(NameServer, local_addr=(LOOPBACK, 53))
    receiver = await asyncio.start_server(serve, RECEIVER, 443, ssl=tls)
    inner = await asyncio.start_server(serve, LOOPBACK, 443)  # any connection counts
    lookup = SystemLookup()
    certificate = (folder / "cert.pem").read_text()
    sender = Sender(AddressRules(), SystemTime(), lookup, ca_bundle=certificate)
    found: dict[str, Any] = {}
    async with receiver, inner:
        for name in ANSWERS:
            connections.clear()
            url = parse_url(f"https://{name}/in")
            tries = [await sender.post(url, {}, b"body", 10) for _ in range(3)]
            found[name] = {
                "tries": [(answer.status, answer.problem) for answer in tries],
                "connections": dict(connections),
                "queries": names.queries[name],
            }
    lookup.close()
    return found


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
    print(json.dumps(asyncio.run(play(Path(sys.argv[1])))))
