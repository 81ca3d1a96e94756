"""`run --reload`: changed code and resources count at once, and waiting jobs are kept."""

import os
import re
from pathlib import Path

import pytest

from support.cli import ENDPOINT, Command, ask, final, write_endpoint
from support.ports import free_port

CODE = """\
from asyncendpoints import handler
from words import WORD

@handler("work")
async def work() -> str:
    return WORD
"""
FREE = ("--port", "0", "--admin-port", "0")


def word_of(url: str) -> str:
    job = final(url + ask(f"{url}/work", "POST").headers["Location"])
    assert job["state"] == "Completed", job
    return ask(url + job["links"]["result"]).body.decode()


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_code_and_resource_are_reloaded_and_faults_survived(
    tmp_path: Path, store: str, redis_url: str
) -> None:
    file, words = write_endpoint(tmp_path, CODE), tmp_path / "words.py"
    words.write_text('WORD = "one"\n')
    redis = ("--redis", redis_url) if store == "redis" else ()
    with Command("run", file, *FREE, "--reload", *redis) as run:
        (url,) = run.ready()
        assert word_of(url) == "one"
        later = ask(f"{url}/work", "POST", Job_Delay="600").headers["Location"]

        words.write_text('WORD = "two"\n')  # a module that the handlers' module imports
        run.said("reports: reloaded")
        assert word_of(url) == "two"

        words.write_text("WORD = = 3\n")
        run.said("the change is not applied until this is fixed")
        assert "asyncendpoints: worker.handlers: cannot import jobs: SyntaxError" in run.err
        assert word_of(url) == "two"  # the code before the fault still runs
        code = (tmp_path / "jobs.py").read_text()
        (tmp_path / "jobs.py").write_text(code.replace('@handler("work")', "def (:"))
        run.said("the change is not applied until this is fixed", times=2)
        assert word_of(url) == "two"
        (tmp_path / "jobs.py").write_text(code)
        words.write_text('WORD = "three"\n')
        run.said("reports: reloaded", times=2)
        assert word_of(url) == "three"

        good = file.read_text()
        file.write_text(good.replace("routes", "rutes"))
        run.said("the changed files have faults and are not applied")
        assert word_of(url) == "three"
        file.write_text(good.replace('"/work"', '"/other"'))
        run.said("reports: reloaded", times=3)
        assert ask(f"{url}/work", "POST").status == 404
        assert ask(f"{url}/other", "POST").status == 202

        assert ask(url + later).json["state"] == "Scheduled"
        assert run.stop() == 0
        assert run.out == f"reports ready at {url}\n"


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_endpoints_come_and_go_with_the_file(tmp_path: Path, store: str, redis_url: str) -> None:
    file, port = write_endpoint(tmp_path, CODE), free_port()
    (tmp_path / "words.py").write_text('WORD = "one"\n')
    one = file.read_text()
    two = ENDPOINT.format(name="more", module="extra", concurrency=1, worker="", more="")
    redis = ("--redis", redis_url) if store == "redis" else ()
    ports = ("--port", port, "--admin-port", "0")
    with Command("run", file, *map(str, ports), "--reload", *redis) as run:
        (url,) = run.ready()
        assert word_of(url) == "one"
        later = ask(f"{url}/work", "POST", Job_Delay="600").headers["Location"]

        file.write_text(f"{one}---\n{two}")
        run.said("more: not served until this is fixed")
        assert "cannot import extra" in run.err
        assert word_of(url) == "one"
        (tmp_path / "extra.py").write_text(CODE)
        (_, other) = run.ready(2)
        assert other == f"http://127.0.0.1:{port + 1}"
        assert word_of(other) == "one"
        assert ask(url + later).json["state"] == "Scheduled"

        file.write_text(two)
        run.said("reports: no longer served")
        assert ("lost 1 unfinished job" in run.err) == (store == "memory")
        with pytest.raises(ConnectionRefusedError):
            ask(f"{url}/jobs")
        assert word_of(other) == "one"

        file.write_text(f"{one}---\n{two}")
        run.said("more: reloaded", times=2)
        assert run.ready(3)[2] == url  # the first port that is free
        assert ask(url + later).status == (404 if store == "memory" else 200)
        file.write_text("# nothing\n")
        run.said("the changed files have faults and are not applied")
        assert word_of(url) == "one"
        assert run.stop() == 0


SLOW = """\
import os, sys, threading
print("loading in", os.getpid(), file=sys.stderr, flush=True)
threading.Event().wait()
"""


def test_endpoints_with_modules_of_one_name_are_reloaded(tmp_path: Path) -> None:
    files = [write_endpoint(tmp_path / name, CODE, name=name) for name in ("one", "two")]
    words = [file.with_name("words.py") for file in files]
    for file in words:
        file.write_text(f'WORD = "{file.parent.name}"\n')
    with Command("run", *files, *FREE, "--reload") as run:
        one, two = run.ready(2)
        assert (word_of(one), word_of(two)) == ("one", "two")
        words[0].write_text("WORD = = 3\n")
        run.said("one: the change is not applied until this is fixed")
        words[1].write_text('WORD = "second"\n')
        run.said("one: the change is not applied until this is fixed", times=2)
        run.said("two: reloaded", times=2)
        assert (word_of(one), word_of(two)) == ("one", "second")
        words[0].write_text('WORD = "first"\n')
        run.said("one: reloaded")
        assert (word_of(one), word_of(two)) == ("first", "second")


def test_an_end_during_a_reload_leaves_no_process(tmp_path: Path, redis_url: str) -> None:
    file, words = write_endpoint(tmp_path, CODE), tmp_path / "words.py"
    words.write_text('WORD = "one"\n')
    with Command("run", file, *FREE, "--reload", "--redis", redis_url) as run:
        (url,) = run.ready()
        assert word_of(url) == "one"
        words.write_text(SLOW)  # what checks the handlers does not end by itself
        run.said("loading in")
        assert run.stop() == 0
        (pid,) = map(int, re.findall(r"loading in (\d+)", run.err))
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert "no such file" not in run.err


def test_a_module_that_changes_the_working_directory_is_reloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import os\nos.chdir('/')\n{CODE}"
    file, words = write_endpoint(tmp_path, code), tmp_path / "words.py"
    words.write_text('WORD = "one"\n')
    monkeypatch.chdir(tmp_path)
    with Command("run", file.name, *FREE, "--reload") as run:
        (url,) = run.ready()
        words.write_text('WORD = "two"\n')
        run.said("reports: reloaded")
        assert word_of(url) == "two"
        file.write_text(file.read_text().replace("/work", "/other"))
        run.said("reports: reloaded", times=2)
        assert ask(f"{url}/other", "POST").status == 202


@pytest.mark.parametrize("place", ["", "    "], ids=["at import", "in the handler"])
def test_an_endpoint_in_code_that_changes_the_working_directory_is_reloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Also again: not what is below the new directory is forgotten, imported and watched."""
    lines = [
        "import os",
        "from asyncendpoints import Endpoint",
        'endpoint = Endpoint("reports")',
        *([] if place else ["os.chdir('/')"]),
        '@endpoint.post("/work")',
        "async def work() -> str:",
        *(["    os.chdir('/')"] if place else []),
        '    return "one"',
    ]
    code = tmp_path / "in_code.py"
    code.write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    with Command("run", "in_code:endpoint", *FREE, "--reload") as run:
        (url,) = run.ready()
        assert word_of(url) == "one"
        for times, word in enumerate(("two", "three"), 1):
            code.write_text("\n".join(lines).replace("one", word))
            run.said("reports: reloaded", times=times)
            assert word_of(url) == word
