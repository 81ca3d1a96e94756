"""The console beside a gateway, with the tokens of mounted files."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.cli import Answer, Command, ask, write_endpoint
from support.ports import free_port

SPEC = """\
  gateway: {{console: {console}}}
"""


@dataclass
class Pod:
    """A gateway with its console, as in a pod."""

    url: str
    console: str
    tokens: Path

    def ask(self, path: str, token: str, method: str = "GET") -> Answer:
        headers = {"Authorization": f"Bearer {token}", "Content_Type": "application/json"}
        return ask(f"{self.console}/api/v1{path}", method, **headers)

    def submit(self) -> str:
        answer = ask(f"{self.url}/work", "POST", '{"a": 1}', Content_Type="application/json")
        assert answer.status == 202
        return f"/endpoints/default/reports/jobs/{answer.json['id']}"


def gateway(folder: Path, redis_url: str, console: str, port: int) -> Command:
    more = SPEC.format(console=console)
    file = write_endpoint(folder, "", more=more)
    tokens = folder / "tokens"
    tokens.mkdir()
    (tokens / "view").write_text("see")
    (tokens / "operate").write_text("do")
    return Command(
        *("gateway", "--endpoint", file, "--redis", redis_url, "--port", "0"),
        *("--admin-port", "0", "--console-port", str(port)),
        env={"ASYNCENDPOINTS_CONSOLE_FOLDER": str(tokens)},
    )


@pytest.fixture
def pod(tmp_path: Path, redis_url: str, request: pytest.FixtureRequest) -> Iterator[Pod]:
    port = free_port()
    with gateway(tmp_path, redis_url, getattr(request, "param", "{}"), port) as command:
        url = command.ready_in_log()
        command.said("the console listens on")
        yield Pod(url, f"http://127.0.0.1:{port}", tmp_path / "tokens")


def test_the_tokens_of_the_files_open_it(pod: Pod) -> None:
    job = pod.submit()
    assert pod.ask("", "wrong").status == 401
    about = pod.ask("", "see").json
    assert (about["scope"], about["role"], about["readOnly"]) == ("endpoint", "view", False)
    [shown] = pod.ask("/endpoints", "see").json["items"]
    assert (shown["namespace"], shown["name"], shown["jobs"]["Queued"]) == ("default", "reports", 1)
    assert pod.ask(f"{job}/body", "see").body == b'{"a": 1}'
    assert pod.ask(f"{job}/cancel", "see", "POST").status == 403
    assert pod.ask(f"{job}/cancel", "do", "POST").status == 200
    (pod.tokens / "view").unlink()
    while pod.ask("", "see").status == 200:
        pass
    assert pod.ask("", "see").status == 401


def test_it_opens_once_the_gateway_is_ready_and_without_a_store_too(
    tmp_path: Path, redis_url: str
) -> None:
    with gateway(tmp_path / "ready", redis_url, "{}", free_port()) as command:
        command.said("the console listens on")
        assert command.err.index("is ready at") < command.err.index("the console listens on")
    port = free_port()
    away = f"redis://127.0.0.1:{free_port()}"
    with gateway(tmp_path / "away", away, "{}", port) as command:
        command.said("the console listens on")
        url = f"http://127.0.0.1:{port}/api/v1/endpoints"
        [shown] = ask(url, Authorization="Bearer see").json["items"]
        assert (shown["name"], shown["reachable"]) == ("reports", False)
        assert shown["message"]


@pytest.mark.parametrize("pod", ["{readOnly: true, bodies: false}"], indirect=True)
def test_the_resource_may_take_changes_and_bodies_away(pod: Pod) -> None:
    job = pod.submit()
    assert pod.ask(f"{job}/cancel", "do", "POST").status == 403
    assert pod.ask(f"{job}/body", "do").status == 403
    assert pod.ask(job, "do").json["state"] == "Queued"


def test_without_a_free_port_or_with_the_console_off_the_gateway_serves(
    tmp_path: Path, redis_url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with gateway(tmp_path / "taken", redis_url, "{}", port) as command:
            url = command.ready_in_log()
            command.said("the console is not available")
            lines = command.err.splitlines()
            [line] = [each for each in lines if "the console is not available" in each]
            assert json.loads(line)["level"] == "error"
            assert ask(f"{url}/jobs").status == 200
    with gateway(tmp_path / "off", redis_url, "{enabled: false}", free_port()) as command:
        command.ready_in_log()
        assert "console" not in command.err
