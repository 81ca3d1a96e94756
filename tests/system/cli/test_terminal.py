"""`asyncendpoints run` on a terminal: what a person sees, in a pseudo-terminal."""

import re
from pathlib import Path

import pytest

from support.cli import ask, final, write_endpoint
from support.screen import screen

CODE = """\
from asyncendpoints import JobContext, PermanentError, handler

@handler("work")
async def work(text: str, job: JobContext) -> str:
    if text == "fail":
        raise PermanentError("no \\x1b[2J\\n\\u202emoney", code="broke")
    if text == "again" and job.attempt == 1:
        raise ConnectionError("a dependency is away")
    return text
"""
RETRY = "  retry: {maxRetries: 2, initialSeconds: 0.1}\n"
LONG = "a-job-with-a-name-as-long-as-they-get"
FREE = ("--port", "0", "--admin-port", "0")


def submit(url: str, body: str) -> str:
    answer = ask(f"{url}/work", "POST", body, Content_Type="text/plain")
    job = final(url + answer.headers["Location"])
    return str(job["id"])[-8:]


def test_start_requests_jobs_and_summary(tmp_path: Path) -> None:
    file = write_endpoint(tmp_path, CODE, more=RETRY)
    with screen("run", file, *FREE) as shown:
        url = shown.shows(r"^  reports    (http://\S+)$")[1]
        shown.shows(r"^  stop       Ctrl-C")
        banner = shown.text
        assert re.search(r"^ +POST /work +→ work$", banner, re.MULTILINE)
        assert f"docs: {url}/docs" in banner
        assert re.search(r"^  metrics    http://127\.0\.0\.1:\d+/metrics$", banner, re.MULTILINE)
        assert re.search(
            r"^  console    http://127\.0\.0\.1:\d+/login\?code=\S+$", banner, re.MULTILINE
        )
        assert "ready at" not in banner
        assert "warning" not in banner

        done, failed, again = (submit(url, body) for body in ("fine", "fail", "again"))
        clock = r"^\d\d:\d\d:\d\d "
        shown.shows(rf"{clock}request POST /work +{done} 202 +[\d.]+ ms$")
        shown.shows(rf"{clock}request GET /jobs/…{done} +200 +[\d.]+ ms$")
        shown.shows(rf"{clock}job     work +{done} Completed +[\d.]+ ms  attempt 1/3$")
        # The message cannot clear the screen, begin a line or turn the text around.
        shown.shows(rf"{clock}job     work +{failed} Failed .* 1/3: broke: no *\[2J *money$")
        shown.shows(
            rf"{clock}job     work +{again} Retry .* attempt 1/3, next in [\d.]+ ms: "
            "handler-error: a dependency is away$"
        )
        shown.shows(rf"{clock}job     work +{again} Completed .* attempt 2/3$")
        shown.shows(rf"warning worker: handler failed job_id={again} ")
        lines = re.finditer(r"^\S+ (?:job|request) .*? (\w+) +[\d.]+ ms", shown.text, re.MULTILINE)
        columns = {line.start(1) - line.start() for line in lines}
        assert len(columns) == 1, shown.text
        assert "\x1b[32mCompleted" in shown.raw
        assert "\x1b[31mFailed" in shown.raw
        assert "\x1b[2J" not in shown.raw
        assert "traceparent" not in shown.text
        assert "asyncendpoints_worker" not in shown.text, "frames that are not the user's"
        assert shown.stop() == 0
        shown.shows(
            r"^  stopped after .*: \d+ requests, 3 jobs ended: 2 completed, 1 failed; 1 retry$"
        )


@pytest.mark.parametrize("columns", [80, 100])
def test_lines_fit_the_terminal(tmp_path: Path, columns: int) -> None:
    code = (
        CODE
        + f"""
@handler("{LONG}")
async def long(text: str) -> str:
    return text
"""
    )
    file = write_endpoint(tmp_path, code)
    route = f'  routes:\n    - {{path: "/long/{{customer}}/of/{{year}}", job: {LONG}}}\n'
    file.write_text(file.read_text().replace("  routes:\n", route))
    with screen("run", file, *FREE, columns=columns) as shown:
        url = shown.shows(r"^  reports    (http://\S+)$")[1]
        submit(url, "fine")
        ask(f"{url}/long/acme/of/2026", "POST", "x", Content_Type="text/plain")
        shown.shows("job +a-job-with-a.*Completed")
        lines = re.findall(r"^\d\d:\d\d:\d\d (?:job|request) .*$", shown.text, re.MULTILINE)
        assert len(lines) >= 5
        assert max(map(len, lines)) <= columns
        assert shown.stop() == 0


@pytest.mark.parametrize("columns", [40, 60])
def test_lines_fit_a_narrow_terminal(tmp_path: Path, columns: int) -> None:
    file = write_endpoint(tmp_path, CODE, more=RETRY)
    with screen("run", file, *FREE, columns=columns) as shown:
        url = shown.shows(r"^  reports    (http://\S+)$")[1]
        shown.shows(r"^  stop       Ctrl-C")
        done, failed, again = (submit(url, body) for body in ("fine", "fail", "again"))
        shown.shows(rf"^POST /work +{done} 202 +[\d.]+ ms$")
        shown.shows(rf"^work +{done} Completed +[\d.]+ ms$")
        shown.shows(rf"^work +{failed} Failed +[\d.]+ ms\n  attempt 1/3: broke: no *\[2J *money$")
        shown.shows(rf"^work +{again} Retry +[\d.]+ ms\n  attempt 1/3, next in [\d.]+ ms:")
        shown.shows(rf"^work +{again} Completed ")
        assert shown.stop() == 0
        shown.shows(r"^  stopped after")
        lines = shown.text.partition("Ctrl-C")[2].splitlines()[1:]
        own = [line for line in lines if re.match("(work|POST|GET) |  (?!File|  )", line)]
        assert len(own) >= 8
        assert max(map(len, own)) <= columns, shown.text


@pytest.mark.parametrize(
    ("arguments", "env"),
    [((), {"NO_COLOR": "1"}), ((), {"TERM": "dumb"}), (("--quiet",), {"TERM": "xterm"})],
    ids=["plain", "dumb", "quiet"],
)
def test_without_colour_and_without_lines(
    tmp_path: Path, arguments: tuple[str, ...], env: dict[str, str]
) -> None:
    file = write_endpoint(tmp_path, CODE)
    with screen("run", file, *FREE, *arguments, env=env) as shown:
        url = shown.shows(r"^  reports    (http://\S+)$")[1]
        done = submit(url, "fine")
        if not arguments:
            shown.shows(f"{done} Completed")
        assert shown.stop() == 0
        shown.shows("1 job ended: 1 completed$")
        assert ("\x1b" in shown.raw) is bool(arguments)
        assert ("request POST" in shown.text) is not bool(arguments)


def test_jobs_of_worker_processes(tmp_path: Path, redis_url: str) -> None:
    file = write_endpoint(tmp_path, CODE)
    with screen("run", file, *FREE, "--redis", redis_url) as shown:
        url = shown.shows(r"^  reports    (http://\S+)$")[1]
        failed = submit(url, "fail")
        shown.shows(rf"job +work +{failed} Failed .* broke: ")
        assert shown.stop() == 0
        shown.shows("1 job ended: 1 failed$")
