"""The receivers of docs/webhooks.md, as they stand there, with `asyncendpoints run`."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.cli import Command, ask, eventually, final, write_endpoint
from support.doc_pages import fences
from support.http.receiver import SECRET
from support.pages import commands
from support.paths import ROOT
from support.ports import free_port

PAGE = fences((ROOT / "docs" / "webhooks.md").read_text())
CODE = """\
from asyncendpoints import handler

@handler("work")
async def work() -> str:
    return "done"
"""
WEBHOOK = """\
    - name: {name}
      url: http://127.0.0.1:{port}/hooks
      secrets: {{file: secret}}
"""


REQUESTS = """\
  webhookRequests:
    allow: ["http://localhost:{port}"]
    secrets: {{file: secret}}
"""


def code(language: str) -> str:
    return "".join(text for name, text in PAGE if name == language)


@contextmanager
def receiver(
    folder: Path, program: str, file: str, text: str, port: int = 0
) -> Iterator[tuple[int, Path]]:
    """Run a receiver of the page; yields its port and the file of its output."""
    (folder / file).write_text(text)
    port, out = port or free_port(), folder / f"{file}.out"
    with (
        out.open("w") as stdout,
        subprocess.Popen([program, file, str(port)], cwd=folder, stdout=stdout) as process,
    ):
        try:
            yield port, out
        finally:
            process.kill()


def test_the_receivers_of_the_page_verify_what_run_sends(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None
    make_secret, run_it, show_secret = commands(ROOT / "docs" / "webhooks.md")
    subprocess.run(["bash", "-c", make_secret], cwd=tmp_path, check=True)
    clients, third = tmp_path / "clients", free_port()
    mine = f"http://localhost:{third}"
    program, secret_command, _, *options = show_secret.split()
    shown = subprocess.run(
        [Path(sys.executable).parent / program, secret_command, mine, *options],
        cwd=tmp_path,
        check=True,
        stdout=subprocess.PIPE,
    )
    clients.mkdir()
    (clients / "secret").write_bytes(shown.stdout)
    with (
        receiver(clients, sys.executable, "receiver.py", code("python"), third) as (_, client_out),
        receiver(tmp_path, sys.executable, "receiver.py", code("python")) as (first, python_out),
        receiver(tmp_path, node, "receiver.mjs", code("js")) as (second, node_out),
    ):
        webhooks = "  webhooks:\n" + "".join(
            WEBHOOK.format(name=name, port=port)
            for name, port in (("python", first), ("node", second))
        )
        more = webhooks + REQUESTS.format(port=third)
        file = write_endpoint(tmp_path, CODE, more=more)
        line = run_it.replace(":9001", f":{first}").replace(":9002", f":{second}")
        name, _, *allow = line.split()[1:]
        allow += ["--webhook-allow", mine.removeprefix("http://")]
        with Command(name, file, "--port", "0", "--admin-port", "0", *allow) as run:
            (url,) = run.ready()
            answer = ask(f"{url}/work", "POST", Job_Webhook=f"{mine}/hooks")
            assert final(url + answer.headers["Location"])["state"] == "Completed"
            for out in (python_out, node_out, client_out):
                eventually(lambda out=out: "job.completed msg_" in out.read_text())  # type: ignore[misc]
            assert run.stop() == 0


def test_the_example_of_the_page_is_valid(tmp_path: Path) -> None:
    import yaml

    from asyncendpoints_core.resource import AsyncEndpoint

    spec = yaml.safe_load(code("yaml"))
    parsed = AsyncEndpoint.parse(
        {
            "apiVersion": "asyncendpoints.io/v1alpha1",
            "kind": "AsyncEndpoint",
            "metadata": {"name": "reports"},
            "spec": {
                "routes": [{"path": "/x", "job": "build-report"}],
                "worker": {"handlers": "jobs"},
                **spec,
            },
        }
    )
    assert [webhook.name for webhook in parsed.spec.webhooks] == ["billing"]
    assert parsed.spec.webhook_requests is not None
    assert json.loads(code("json"))["type"] == "job.completed"


def test_without_webhook_allow_a_receiver_on_this_machine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    webhooks = "  webhooks:\n" + WEBHOOK.format(name="local", port=80)
    file = write_endpoint(tmp_path, CODE, more=webhooks)
    with Command("run", file, "--port", "0", "--admin-port", "0") as run:
        (url,) = run.ready()
        ask(f"{url}/work", "POST")
        run.said("the address is refused: 127.0.0.1, which is loopback")
        assert "/hooks" not in run.err
        assert run.stop() == 0
