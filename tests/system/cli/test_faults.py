"""Every fault of use: one clear line with the fix, the contract's exit status, no traceback."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.cli import ENDPOINT, Command, ask, final, once, write_endpoint
from support.ports import free_port

GOOD = """\
from asyncendpoints import handler

@handler("work")
async def work() -> None: ...
"""
NAMED = """\
from asyncendpoints import handler

@handler("work")
async def work() -> str:
    return "{}"
"""
FREE = ("--port", "0", "--admin-port", "0")


def fault(*arguments: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run what must fail; return its status and its one line, after checking it is one."""
    status, out, err = once(*arguments, env=env)
    assert "Traceback" not in err
    assert "Traceback" not in out
    own = [line for line in err.splitlines() if not line.startswith("{")]
    assert own, err
    return status, "\n".join(own)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_endpoint(tmp_path, GOOD)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    status, line = fault("run", tmp_path / "nothing.yaml")
    assert status == 2
    assert "nothing.yaml: no such file" in line


def test_a_file_that_is_no_endpoint(good: Path) -> None:
    status, line = fault("validate", good.parent, good.with_name("jobs.py"))
    assert status == 2
    assert f"{good.parent}: is a directory; name its files, such as {good}" in line
    assert "jobs.py: is Python; name the YAML file with worker: {handlers: jobs}" in line


def test_faults_in_a_file_are_shown_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yaml"
    file.write_text(
        ENDPOINT.format(name="x", module="jobs", more="  retries: {}\n", concurrency=1, worker="")
    )
    status, line = fault("run", file, *FREE)
    assert status == 2
    assert f"{file}:8:3: spec.retries: unknown field" in line
    assert line.splitlines()[-1] == f"asyncendpoints: 1 fault in {file}"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--port", "eighty"), '--port: must be a number from 0 to 65535, not "eighty"'),
        (("--port", "70000"), "--port: must be a number from 0 to 65535"),
        (("--redis", "localhost"), "--redis: must be a URL, such as redis://127.0.0.1:6379/0"),
        (("--log-level", "loud"), "--log-level: must be one of debug, info, warning, error"),
        (("--http-target", "http://127.0.0.1:1/"), "reports runs worker.handlers, not worker.http"),
        (("--prot", "1"), "unknown option --prot; did you mean --port?"),
    ],
)
def test_options_that_cannot_be_used(good: Path, option: tuple[str, str], said: str) -> None:
    status, line = fault("run", good, *option)
    assert (status, line.count("\n")) == (2, 0)
    assert line.startswith("asyncendpoints: ")
    assert said in line


def test_a_variable_that_cannot_be_used(good: Path) -> None:
    status, line = fault("run", good, env={"ASYNCENDPOINTS_HTTP_PORT": "x"})
    assert status == 2
    assert 'ASYNCENDPOINTS_HTTP_PORT: must be a number from 0 to 65535, not "x"' in line


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nothing_like_this\n", "cannot import jobs: ModuleNotFoundError"),
        ("x = = 1\n", "cannot import jobs: SyntaxError"),
        ("pass\n", "jobs declares no @handler"),
        ("raise SystemExit('no')\n", "cannot import jobs: SystemExit: no"),
        (GOOD + '\n@handler("work")\ndef again() -> None: ...\n', 'job "work" has two handlers'),
        (
            'from asyncendpoints import handler\n@handler("work")\n'
            "async def work():\n    yield 1\n",
            'handler "work" is a generator',
        ),
        (
            GOOD.replace('"work"', '"wrok"'),
            'routes[0].job: jobs has no @handler("work"); did you mean wrok?',
        ),
    ],
)
def test_handlers_that_cannot_be_used(tmp_path: Path, code: str, said: str) -> None:
    status, line = fault("run", write_endpoint(tmp_path, code), *FREE)
    assert (status, line.count("\n")) == (2, 0)
    assert said in line


AT_IMPORT = "import asyncio, threading\n" + GOOD


def test_an_import_fails_at_the_start_or_never(tmp_path: Path, redis_url: str) -> None:
    """The check of `run` and worker processes import alike: inside a running event loop."""
    file = write_endpoint(tmp_path, AT_IMPORT + "asyncio.run(asyncio.sleep(0))\n")
    for where in ((), ("--redis", redis_url)):
        status, line = fault("run", file, *FREE, *where)
        assert status == 2
        assert line.startswith("asyncendpoints: worker.handlers: cannot import jobs: RuntimeError:")
        assert line.endswith(f"({file.with_name('jobs.py')}:6)")


def test_an_import_that_starts_a_thread_does_not_stop_the_start(
    tmp_path: Path, redis_url: str
) -> None:
    code = AT_IMPORT + "threading.Thread(target=threading.Event().wait).start()\n"
    file = write_endpoint(tmp_path, code + "asyncio.get_running_loop()\n")
    with Command("run", file, *FREE, "--redis", redis_url) as run:
        run.ready()


def test_handlers_that_cannot_be_used_by_worker_processes(tmp_path: Path, redis_url: str) -> None:
    file = write_endpoint(tmp_path, "import nothing_like_this\n")
    for command in (("run", file, *FREE), ("worker", "--endpoint", file)):
        status, line = fault(*command, "--redis", redis_url)
        assert (status, line.count("\n")) == (2, 0)
        assert "cannot import jobs: ModuleNotFoundError: No module named" in line


STARTUP = """\
from asyncendpoints import handler, on_startup

@on_startup
{0}def connect() -> None:
    raise ConnectionError("no\\ndatabase")

@handler("work")
async def work() -> None: ...
"""


@pytest.mark.parametrize("kind", ["async ", ""])
def test_a_start_up_function_that_fails(tmp_path: Path, redis_url: str, kind: str) -> None:
    file = write_endpoint(tmp_path, STARTUP.format(kind))
    redis = ("--redis", redis_url)
    for command in (
        ("run", file, *FREE),
        ("run", file, *FREE, *redis),
        ("worker", "--endpoint", file, *redis),
    ):
        status, line = fault(*command)
        assert (status, line) == (
            2,
            "asyncendpoints: worker.handlers: @on_startup connect of jobs failed: "
            f"ConnectionError: no database ({file.with_name('jobs.py')}:5)",
        )


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    file = write_endpoint(tmp_path, GOOD)
    file.write_text(file.read_text().replace("handlers: jobs", "handlers: missing.jobs"))
    status, line = fault("run", file, *FREE)
    assert status == 2
    assert "cannot import missing.jobs" in line
    assert f"; looked in {tmp_path} and the packages of {sys.executable}; " in line
    assert line.endswith(f"; {tmp_path / 'missing' / 'jobs.py'} does not exist")
    file.write_text(file.read_text().replace("missing.jobs", "jobs.py"))
    status, line = fault("run", file, *FREE)
    assert (status, line.endswith("; write jobs")) == (2, True)


@pytest.mark.parametrize("place", ["jobs.py", "jobs/__init__.py", "app/jobs.py"])
def test_modules_of_one_name_in_two_folders(tmp_path: Path, redis_url: str, place: str) -> None:
    files = [
        write_endpoint(tmp_path / name, NAMED.format(name), name=name) for name in ("one", "two")
    ]
    for file in files:
        (file.parent / place).parent.mkdir(exist_ok=True)
        file.with_name("jobs.py").rename(file.parent / place)
        if place == "app/jobs.py":
            file.write_text(file.read_text().replace("handlers: jobs", "handlers: app.jobs"))
    for redis in ((), ("--redis", redis_url)):
        with Command("run", *files, *FREE, *redis) as run:
            for url, name in zip(run.ready(2), ("one", "two"), strict=True):
                job = final(url + ask(f"{url}/work", "POST").headers["Location"])
                assert ask(url + job["links"]["result"]).body.decode() == name
            assert run.stop() == 0


def test_a_port_that_is_taken(good: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, line = fault("run", good, "--port", str(port), "--admin-port", "0")
        assert (status, line.count("\n")) == (1, 0)
        assert f"cannot listen on 127.0.0.1:{port}: the port is taken; choose another one" in line
        status, line = fault("run", good, "--port", "0", "--admin-port", str(port))
        assert status == 1
        assert f"cannot listen on 127.0.0.1:{port}" in line
        _, out, _ = once("run", good, "--port", "0", "--admin-port", str(port))
        assert out == ""


def test_an_admin_port_that_is_taken(good: Path, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = ("worker", "--endpoint", good, "--redis", redis_url)
        status, line = fault(*command, "--admin-port", str(port))
    assert status == 1
    assert line == (
        f"asyncendpoints: cannot listen on 127.0.0.1:{port}: the port is taken; choose another "
        "one, or 0 for any free one: --admin-port"
    )


@pytest.mark.parametrize("command", ["run", "worker"])
def test_a_redis_that_is_not_there(good: Path, command: str) -> None:
    files = ("run", good, *FREE) if command == "run" else ("worker", "--endpoint", good)
    url = f"redis://someone:very-secret@127.0.0.1:{free_port()}/0"
    status, line = fault(*files, "--redis", url)
    assert (status, line.count("\n")) == (1, 0)
    assert line.startswith("asyncendpoints: ")
    assert "127.0.0.1" in line
    assert "very-secret" not in line


@pytest.mark.parametrize("command", ["gateway", "worker"])
def test_what_gateway_and_worker_cannot_do_without(good: Path, command: str) -> None:
    status, line = fault(command, "--redis", "redis://127.0.0.1:1")
    assert status == 2
    assert "no endpoint: set --endpoint FILE" in line
    status, line = fault(command, "--endpoint", good)
    assert status == 2
    assert f"a {command} needs Redis: set --redis URL" in line
    good.write_text(good.read_text() + "---\n" + good.read_text().replace("reports", "other"))
    status, line = fault(command, "--endpoint", good, "--redis", "redis://127.0.0.1:1")
    assert status == 2
    assert "must contain one endpoint, but has 2 (reports, other)" in line


def test_a_file_with_the_url_that_cannot_be_read(good: Path, tmp_path: Path) -> None:
    env = {"ASYNCENDPOINTS_REDIS_URL_FILE": str(tmp_path / "no-secret")}
    status, line = fault("worker", "--endpoint", good, env=env)
    assert status == 2
    assert "no-secret: no such file" in line


def test_ports_beyond_the_last_one(good: Path) -> None:
    good.write_text(good.read_text() + "---\n" + good.read_text().replace("reports", "other"))
    status, line = fault("run", good, "--port", "65535")
    assert status == 2
    assert "--port: 2 endpoints need ports up to 65535" in line


@pytest.mark.parametrize("command", [["operator"], ["unpin", "reports"]])
def test_an_extra_that_is_not_installed(command: list[str]) -> None:
    code = (
        "import sys; sys.modules['kubernetes'] = sys.modules['kopf'] = None\n"
        f"from asyncendpoints_cli.main import main; sys.exit(main({command}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr in (
        f"asyncendpoints: {package} is not installed; run: pip install 'asyncendpoints[operator]'\n"
        for package in ("kopf", "kubernetes")
    )


@pytest.mark.parametrize("command", ["run", "gateway", "worker", "operator"])
def test_with_a_log_in_json_the_last_error_is_json_too(good: Path, command: str) -> None:
    nowhere = ("--redis", f"redis://someone:very-secret@127.0.0.1:{free_port()}/0")
    options: tuple[str | Path, ...] = ("--endpoint", good, *nowhere)
    if command == "gateway":  # it waits for a Redis that is not there
        options = ("--endpoint", good, "--redis", "redis://host/abc")
    elif command == "operator":
        options = ("--kubeconfig", good.with_name("nothing"))
    elif command == "run":
        options = (good, *FREE, *nowhere)
    status, _, err = once(command, *options, env={"ASYNCENDPOINTS_LOG_FORMAT": "json"})
    records = [json.loads(line) for line in err.splitlines()]
    assert status in (1, 2)
    assert records[-1]["level"] == "error"
    assert "very-secret" not in err


@pytest.mark.parametrize("command", [["operator"], ["unpin", "reports"]])
@pytest.mark.parametrize("given", [True, False])
def test_a_cluster_that_is_not_there(tmp_path: Path, command: list[str], given: bool) -> None:
    option = ("--kubeconfig", tmp_path / "nothing") if given else ()
    env = {"KUBECONFIG": str(tmp_path / "nothing"), "KUBERNETES_SERVICE_HOST": ""}
    status, out, err = once(*command, *option, env=env)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("asyncendpoints: no Kubernetes cluster: ")
    assert "set --kubeconfig FILE" in err
