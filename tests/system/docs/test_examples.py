"""The examples work, and the commands in their READMEs have the documented results."""

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from support.cli import Command, ask, final
from support.pages import commands, curl
from support.paths import ROOT
from support.ports import free_port

REPORTS = ROOT / "examples" / "reports"
THUMBNAILS = ROOT / "examples" / "thumbnails-node"
SALES = (REPORTS / "sales.csv").read_bytes()
FREE = ("--port", "0", "--admin-port", "0")
CSV = {"Content_Type": "text/csv"}


class Source(BaseHTTPRequestHandler):
    """Serves sales.csv, but reports first that it is busy."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        if self.path != "/sales.csv":
            self.send_error(404)
        elif type(self).asked == 1:
            self.send_response(503)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", str(len(SALES)))
            self.end_headers()
            self.wfile.write(SALES)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Source)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def reports(source: str) -> Iterator[str]:
    env = {"REPORTS_SOURCES": source}
    with Command("run", REPORTS / "endpoint.yaml", *FREE, env=env) as run:
        yield run.ready()[0]
        assert run.stop() == 0


def test_a_csv_file_becomes_a_report(reports: str) -> None:
    answer = ask(f"{reports}/reports/acme?column=amount&by=region", "POST", SALES, **CSV)
    assert answer.status == 202
    job = final(reports + answer.headers["Location"])
    assert job["state"] == "Completed", job
    assert job["progress"] == {"fraction": 1, "message": "writing"}
    page = ask(reports + job["links"]["result"])
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    text = page.body.decode()
    assert "<svg" in text
    assert all(region in text for region in ("north", "south", "east", "west", "overseas"))
    assert "line 58: &quot;n/a&quot; is not a number" in text


def test_figures_are_right(reports: str) -> None:
    answer = ask(
        f"{reports}/reports/acme?column=n&by=g&resamples=500", "POST",
        "g,n\na,1\na,2\na,6\nb,10\n", **CSV, Accept="application/json", Prefer="wait=30",
    )  # fmt: skip
    found = {group["group"]: group for group in answer.json["groups"]}
    assert answer.json["rows"] == 4
    assert (found["a"]["mean"], found["a"]["median"], found["a"]["total"]) == (3, 2, 9)
    assert found["a"]["deviation"] == pytest.approx(2.645751)
    assert 1 <= found["a"]["low"] <= 3 <= found["a"]["high"] <= 6
    assert (found["b"]["low"], found["b"]["high"]) == (10, 10)


@pytest.mark.parametrize(
    ("query", "body", "code", "said"),
    [
        ("", SALES, "bad-request", "say which column"),
        ("column=colour", SALES, "bad-table", 'no column "colour"; there are: day, region'),
        ("column=product", SALES, "bad-table", 'no number in column "product"'),
        ("column=amount&resamples=no", SALES, "bad-request", "resamples is a number"),
        ("column=a", b"a\n1\nx\n", "bad-table", '1 of 2 rows cannot be used: line 3: "x"'),
        ("column=a", b'a,b\n1,"2\n', "bad-table", "line 1: unexpected end of data"),
    ],
)
def test_a_permanent_error_fails_at_once(
    reports: str, query: str, body: bytes, code: str, said: str
) -> None:
    answer = ask(f"{reports}/reports/acme?{query}", "POST", body, **CSV)
    job = final(reports + answer.headers["Location"])
    assert (job["state"], job["attempt"], job["error"]["code"]) == ("Failed", 1, code)
    assert said in job["error"]["message"]


def test_a_long_one_is_canceled_while_it_runs(reports: str) -> None:
    query = "column=amount&by=region&resamples=100000"
    answer = ask(f"{reports}/reports/acme?{query}", "POST", SALES, **CSV)
    where, tag = reports + answer.headers["Location"], ""
    while True:
        job = ask(f"{where}?wait=20", If_None_Match=tag)
        if job.status == 200 and job.json["progress"]:
            break
        tag = job.headers["ETag"]
    assert job.json["state"] == "InProgress"
    assert ask(where, "DELETE").status == 202
    assert final(where)["state"] == "Canceled"


def test_a_busy_source_is_retried_after_its_retry_after(reports: str, source: str) -> None:
    body = json.dumps({"url": f"http://{source}/sales.csv", "column": "amount"})
    answer = ask(f"{reports}/imports/acme", "POST", body, Content_Type="application/json")
    job = final(reports + answer.headers["Location"])
    assert (job["state"], job["attempt"]) == ("Completed", 2)
    assert job["attempts"][0]["error"]["message"] == "the source is busy (503)"


def test_a_source_that_is_not_listed_is_never_contacted(reports: str) -> None:
    body = json.dumps({"url": "http://169.254.169.254/latest", "column": "amount"})
    answer = ask(f"{reports}/imports/acme", "POST", body, Content_Type="application/json")
    job = final(reports + answer.headers["Location"])
    assert (job["state"], job["error"]["code"]) == ("Failed", "forbidden-source")


def test_the_commands_of_the_reports_page(reports: str, source: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    run, *curls = commands(REPORTS / "README.md")
    assert run == "asyncendpoints run examples/reports/endpoint.yaml"
    assert len(curls) == 7
    first, html, figures, wrong, long_one, imported, refused = curls
    assert "HTTP/1.1 202 Accepted" in curl(first, reports, tmp_path)
    curl(html, reports, tmp_path)
    assert "<svg" in (tmp_path / "acme.html").read_text()
    assert json.loads(curl(figures, reports, tmp_path))["rows"] == 400
    problem = json.loads(curl(wrong, reports, tmp_path))
    assert problem["status"] == 409
    assert "no column" in json.dumps(problem)
    job = json.loads(curl(long_one, reports, tmp_path))
    assert ask(reports + job["links"]["cancel"], "DELETE").status in (200, 202)
    imported = imported.replace("127.0.0.1:9000", source)
    assert "<svg" in curl(imported, reports, tmp_path)
    assert json.loads(curl(refused, reports, tmp_path))["status"] == 422


# Node, behind the HTTP mode.


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """Return a PNG of one colour."""
    raw = (b"\0" + bytes(colour) * width) * height

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (
        chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")
    )  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture(scope="module")
def thumbnails() -> Iterator[str]:
    port = free_port()
    # The Node example reports progress: here by another address than the default one.
    hosts = ("--callback-host", "127.0.0.3")
    target = ("--http-target", f"http://127.0.0.1:{port}/jobs", *hosts)
    with Command("run", THUMBNAILS / "endpoint.yaml", *FREE, *target) as run:
        (url,) = (
            run.ready()
        )  # before the server: no job is claimed until its port accepts connections
        server = subprocess.Popen(
            ["node", THUMBNAILS / "server.mjs"],
            env={**os.environ, "PORT": str(port)},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield url
            assert run.stop() == 0
        finally:
            server.terminate()
            assert server.communicate(timeout=30)[1].startswith("thumbnails on port")
    assert server.returncode == 0


def size(image: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", image[16:24])
    return width, height


def test_a_picture_becomes_smaller(thumbnails: str) -> None:
    url = f"{thumbnails}/thumbnails?width=40"
    answer = ask(
        url, "POST", png(200, 100, (200, 30, 60)), Content_Type="image/png", Prefer="wait=30"
    )
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    assert size(answer.body) == (40, 20)
    at = answer.body.index(b"IDAT")
    (length,) = struct.unpack(">I", answer.body[at - 4 : at])
    pixels = zlib.decompress(answer.body[at + 4 : at + 4 + length])
    assert pixels[1:5] == bytes((200, 30, 60, 255))


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [("", b"no picture", 422), ("?width=0", png(2, 2, (0, 0, 0)), 422)],
)
def test_what_the_server_refuses_has_failed_for_good(
    thumbnails: str, query: str, body: bytes, status: int
) -> None:
    answer = ask(f"{thumbnails}/thumbnails{query}", "POST", body, Content_Type="image/png")
    job = final(thumbnails + answer.headers["Location"])
    assert (job["state"], job["attempt"]) == ("Failed", 1)
    assert job["error"]["code"] == f"http-{status}"


def test_the_commands_of_the_thumbnails_page(thumbnails: str, tmp_path: Path) -> None:
    server, run, asked = commands(THUMBNAILS / "README.md")
    assert server == "node examples/thumbnails-node/server.mjs"
    assert run == "asyncendpoints run examples/thumbnails-node/endpoint.yaml"
    (tmp_path / "picture.png").write_bytes(png(128, 64, (1, 2, 3)))
    curl(asked, thumbnails, tmp_path)
    assert size((tmp_path / "small.png").read_bytes()) == (64, 32)


def test_the_demo_shows_every_final_state() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"], cwd=ROOT,
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for said in ("Completed", "Failed (bad-table)", "Failed (handler-error), attempt 3 of 3",
                 "Failed (expired)", "Canceled", "Scheduled", "attempt 2 of 3",
                 "one of a schedule: Completed", "webhook job.completed of import-report",
                 "webhook job.failed", "webhook job.canceled", "its signature is valid",
                 "each as it should end: 2 Canceled, 48 Completed, 3 Failed",
                 "The small customer's 5 reports had started when "):  # fmt: skip
        assert said in done.stdout
