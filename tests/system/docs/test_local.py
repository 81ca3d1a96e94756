"""Parts of the pages without a cluster: docs/cli.md, attach() in docs/http.md, Redis users."""

import base64
import glob
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from support.cli import ENDPOINT, Command, ask, eventually, final, once, write_endpoint
from support.pages import blocks, commands
from support.paths import ROOT
from support.ports import free_port
from support.redis.server import RedisServer

DOCS = ROOT / "docs"
FREE = ("--port", "0", "--admin-port", "0")
CODE = """\
from asyncendpoints import handler

@handler("work")
async def work() -> str:
    return "done"
"""
HTTP_MODE = ENDPOINT.format(name="node", module="none", concurrency=1, worker="", more="").replace(
    "handlers: none", "http: {port: 3000, path: /jobs}"
)
NEED_A_CLUSTER = ("asyncendpoints operator", "asyncendpoints unpin", "kubectl ")
SHOWN = dict.fromkeys([*commands(DOCS / "cli.md"), *commands(DOCS / "code-first.md")])
NEED_A_CONSOLE = (  # system/cli/test_remote.py, cluster/test_console.py
    *("asyncendpoints jobs ", "asyncendpoints queue ", "asyncendpoints console"),
)
NEED_A_SHELL = (
    "source <(asyncendpoints completion bash)",
    "asyncendpoints completion fish | source",
)  # the same
ELSEWHERE = (*NEED_A_CLUSTER, *NEED_A_CONSOLE, *NEED_A_SHELL)
LOCAL = [line for line in SHOWN if not line.startswith(ELSEWHERE)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every file that the examples of docs/cli.md use."""
    file = write_endpoint(tmp_path, CODE)
    (tmp_path / "node.yaml").write_text(HTTP_MODE)
    (tmp_path / "deploy").mkdir()
    text = file.read_text().replace("handlers: jobs", "handlers: jobs, image: reports")
    (tmp_path / "deploy" / "reports.yaml").write_text(text)
    (tmp_path / "shop.py").write_text(blocks(DOCS / "code-first.md", "python")[0])
    return tmp_path


def words_of(line: str, redis: str) -> list[str]:
    """The arguments of a command as a shell passes them, with the Redis of the test."""
    found = []
    for word in shlex.split(line.replace("redis://127.0.0.1:6379/0", redis))[1:]:
        found += sorted(glob.glob(word)) if "*" in word else [word]
    return found


@pytest.mark.parametrize("line", LOCAL)
def test_every_example_of_the_command_line_runs(
    folder: Path, line: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    if "webhook-secret" in line:
        secret = base64.b64encode(b"s" * 32).decode()
        (folder / "secret").write_text(f"whsec_{secret}\n")
        shell = line.replace("asyncendpoints", f"{sys.executable} -m asyncendpoints_cli")
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("whsec_")
        assert secret not in done.stdout
        return
    name, *words = words_of(line, redis_url)
    if name == "validate":
        status, out, err = once(name, *words)
        assert (status, err) == (0, "")
        assert " is valid\n" in out
        return
    if name == "init":
        assert once(name, *words)[0] == 0
        assert (folder / words[0] / "jobs.py").exists()
        return
    if name == "export":
        if "--check" in words:
            assert once(name, "shop:ep", "-o", "shop.yaml")[0] == 0
        status, out, _ = once(name, *words)
        assert status == 0
        assert "job: place-order" in (out or (folder / "shop.yaml").read_text())
        return
    env = {}
    if name != "run" and "--redis" not in words:
        (folder / "url").write_text(redis_url)
        env["ASYNCENDPOINTS_REDIS_URL_FILE"] = str(folder / "url")
    options = FREE[2:] if name == "worker" else FREE
    with Command(name, *words, *options, env=env, cwd=folder) as command:
        if name == "worker":
            command.said("AOF is off")  # it has reached Redis
        elif name == "gateway":
            command.said("reports is ready at http://")
        else:
            command.ready(sum(word.endswith((".yaml", ":ep")) for word in words))
        assert command.stop() == 0


def test_attach_as_the_page_shows_it(tmp_path: Path) -> None:
    page, port = DOCS / "http.md", free_port()
    (tmp_path / "endpoint.yaml").write_text(blocks(page, "yaml")[0])
    code = CODE.replace('"work"', '"add-up"')
    (tmp_path / "sums.py").write_text(code)
    (app,) = blocks(page, "python")
    (tmp_path / "app.py").write_text(app.replace("8081", str(port)))
    url = f"http://127.0.0.1:{port}"

    def there() -> bool:
        try:
            return ask(f"{url}/async/openapi.json").status == 200
        except ConnectionError:
            return False

    with subprocess.Popen([sys.executable, "app.py"], cwd=tmp_path) as process:
        try:
            eventually(there)
            body = '{"numbers": [1]}'
            path = f"{url}/async/sums/acme"
            answer = ask(path, "POST", body, Content_Type="application/json")
            assert answer.status == 202
            assert final(url + answer.headers["Location"])["state"] == "Completed"
            assert ask(f"{url}/sums/acme", "POST").status == 404
        finally:
            process.terminate()


def user_of(page: Path, server: RedisServer, start: str) -> tuple[str, str]:
    """Create the Redis user of a page; return its name and password."""
    (line,) = [block.strip() for block in blocks(page, "redis") if block.startswith(start)]
    with Redis(port=server.port) as owner:
        owner.execute_command(*line.split())
    name, password = line.split()[2], line.split(">")[1].split()[0]
    return name, password


def test_the_user_of_the_redis_page_is_enough_for_an_endpoint(tmp_path: Path) -> None:
    file = write_endpoint(tmp_path, CODE)
    with RedisServer() as server:
        name, password = user_of(DOCS / "redis.md", server, "ACL SETUSER reports")
        url = f"redis://{name}:{password}@127.0.0.1:{server.port}/0"
        with Command("run", file, *FREE, "--redis", url) as run:
            (gateway,) = run.ready()
            run.said("does not permit INFO")
            answer = ask(f"{gateway}/work", "POST")
            assert final(gateway + answer.headers["Location"])["state"] == "Completed"
            assert run.stop() == 0


def test_the_user_for_keda_can_measure_a_queue_and_nothing_else(tmp_path: Path) -> None:
    """KEDA reads the type of a key and then its size, in a script: LLEN if there is no key."""
    file = write_endpoint(tmp_path, CODE, more="  suspend: true\n")
    file.write_text(file.read_text().replace("{name: reports}", "{name: reports, namespace: demo}"))
    kind = "return redis.call('TYPE', KEYS[1])"
    size = "return redis.call(ARGV[1], KEYS[1])"
    with RedisServer() as server:
        name, password = user_of(DOCS / "operations.md", server, "ACL SETUSER keda")
        line = "aep:{demo/reports}:ready:normal"
        with (
            Redis(port=server.port, username=name, password=password) as keda,
            Command("run", file, *FREE, "--redis", server.url) as run,
        ):
            (gateway,) = run.ready()
            assert keda.eval(kind, 1, line) == b"none"
            assert keda.eval(size, 1, line, "LLEN") == 0
            assert ask(f"{gateway}/work", "POST").status == 202
            assert keda.eval(kind, 1, line) == b"zset"
            assert keda.eval(size, 1, line, "ZCARD") == 1
            assert ask(f"{gateway}/work", "POST", Job_Delay="60").status == 202
            assert keda.eval(size, 1, "aep:{demo/reports}:delayed", "ZCARD") == 1
            for key, command in (("jobs", "ZCARD"), ("ready:normal", "DEL")):
                with pytest.raises(ResponseError, match=r"permission|can't run"):
                    keda.eval(size, 1, f"aep:{{demo/reports}}:{key}", command)
            assert run.stop() == 0
