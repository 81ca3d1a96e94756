"""Logs, for people and for machines, and what user code makes of them."""

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncendpoints_core.process.logs import (
    PARTS,
    JsonFormatter,
    TextFormatter,
    configure_logging,
)
from support.paths import ROOT


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    loggers = logging.getLogger(), logging.getLogger("asyncendpoints")
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_unless_it_is_a_terminal() -> None:
    out = io.StringIO()
    configure_logging("info", "auto", out)
    log = logging.getLogger("asyncendpoints.gateway")
    log.info("it went %s", "well", extra={"job_id": "j1"})
    log.debug("not shown")
    logging.getLogger("aiohttp.access").info("not shown either")
    [line] = out.getvalue().splitlines()
    shown = json.loads(line)
    assert shown["time"].endswith("Z")
    del shown["time"]
    assert shown == {
        "level": "info",
        "logger": "asyncendpoints.gateway",
        "message": "it went well",
        "job_id": "j1",
    }


def test_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    configure_logging("debug", "auto", out)
    logging.getLogger("asyncendpoints.worker").warning("careful", extra={"job_id": "j1"})
    assert "warning worker: careful job_id=j1" in out.getvalue()
    assert out.getvalue().startswith("\x1b[33m")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, kind, coloured in (
        ("1", "xterm", False),
        ("0", "xterm", False),
        ("", "xterm", True),
        ("", "dumb", False),
    ):
        monkeypatch.setenv("NO_COLOR", value)
        monkeypatch.setenv("TERM", kind)
        out = Terminal()
        configure_logging("debug", "auto", out)
        logging.getLogger("asyncendpoints.worker").warning("careful")
        assert ("\x1b" in out.getvalue()) is coloured
        assert "warning worker: careful" in out.getvalue()


def test_the_form_can_be_chosen() -> None:
    out = Terminal()
    configure_logging("info", "json", out)
    logging.getLogger("asyncendpoints").error("x")
    assert json.loads(out.getvalue())["message"] == "x"
    out = Terminal()
    configure_logging("info", "text", io.StringIO())
    assert isinstance(logging.getLogger().handlers[0].formatter, TextFormatter)


def test_a_message_cannot_forge_a_line() -> None:
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": "a\r\nb\x1b[2J"})
    assert "\n" not in TextFormatter().format(record)
    assert "\x1b" not in TextFormatter().format(record)
    assert "\n" not in JsonFormatter().format(record)


def test_an_exception_is_shown_in_both() -> None:
    try:
        raise ValueError("inner")
    except ValueError:
        record = logging.makeLogRecord(
            {"name": "x", "levelname": "INFO", "msg": "failed", "exc_info": sys.exc_info()}
        )
    assert "ValueError: inner" in TextFormatter().format(record)
    assert "ValueError: inner" in json.loads(JsonFormatter().format(record))["error"]


def test_every_logger_of_the_product_stays_enabled() -> None:
    used = {
        name
        for package in ("core", "console", "gateway", "worker", "operator", "cli")
        for file in (ROOT / package).rglob("*.py")
        for name in re.findall(r'getLogger\("asyncendpoints\.?([a-z]*)', file.read_text())
    }
    assert used - {""} == set(PARTS)


USER = """
import logging, logging.config
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.process.logs import configure_logging, current_job

configure_logging("info", "json", user_code=True)
current_job.set(ids.new(1))
ours, user = logging.getLogger("asyncendpoints.worker"), logging.getLogger("mine")
{configure}
logging.info("root info")
user.debug("user debug")
user.warning("user warning")
ours.warning("ours", extra={{"job_id": "given"}})
"""
OWN = "[%(levelname)s %(message)s %(asyncendpoints_job)s]"
CONSOLE = {"class": "logging.StreamHandler", "formatter": "own"}
OWN_ROOT = {
    "version": 1,
    "formatters": {"own": {"format": OWN}},
    "handlers": {"console": CONSOLE},
    "root": {"level": "WARNING", "handlers": ["console"]},
}


def logged(configure: str) -> list[str]:
    """Run user code that configures logging like this; return `message of job` of each line."""
    done = subprocess.run(
        [sys.executable, "-c", USER.format(configure=configure)],
        check=True,
        capture_output=True,
        text=True,
    )
    found = []
    for line in done.stderr.splitlines():
        if line.startswith("{"):
            record = json.loads(line)
            line = f"{record['message']} of {record['job_id'][:6]}"
        found.append(line)
    assert done.stdout == ""
    return found


JOB = "000000"


@pytest.mark.parametrize(
    ("configure", "lines"),
    [
        ("", [f"root info of {JOB}", f"user warning of {JOB}", "ours of given"]),
        (
            "logging.basicConfig(level=logging.DEBUG)",
            [
                f"root info of {JOB}",
                f"user debug of {JOB}",
                f"user warning of {JOB}",
                "ours of given",
            ],
        ),
        (
            "user.setLevel('DEBUG')",
            [
                f"root info of {JOB}",
                f"user debug of {JOB}",
                f"user warning of {JOB}",
                "ours of given",
            ],
        ),
        (
            "logging.basicConfig(format='(%(message)s %(asyncendpoints_job).6s)')",
            [f"(root info {JOB})", f"(user warning {JOB})", "ours of given"],
        ),
        (
            "logging.basicConfig(format='(%(message)s)', level='WARNING', force=True)",
            ["(user warning)", "ours of given"],
        ),
        (
            "try: logging.basicConfig(style='?')\nexcept ValueError: pass",
            [f"root info of {JOB}", f"user warning of {JOB}", "ours of given"],
        ),
        # It disables existing loggers by default: the user's own, but not ours.
        ("logging.config.dictConfig({'version': 1})", [f"root info of {JOB}", "ours of given"]),
        (
            "logging.config.dictConfig({'version': 1, 'root': {'level': 'DEBUG'}})\n"
            "user.disabled = False",
            [
                f"root info of {JOB}",
                f"user debug of {JOB}",
                f"user warning of {JOB}",
                "ours of given",
            ],
        ),
        (
            f"logging.config.dictConfig({OWN_ROOT!r} | {{'disable_existing_loggers': False}})",
            ["[WARNING user warning 00000000-0001-7", "ours of given"],
        ),
        (
            "user.propagate = False; user.addHandler(logging.StreamHandler())",
            [f"root info of {JOB}", "user warning", "ours of given"],
        ),
        ("logging.shutdown()", [f"root info of {JOB}", f"user warning of {JOB}", "ours of given"]),
    ],
)
def test_user_code_configures_its_own_logs_and_not_ours(configure: str, lines: list[str]) -> None:
    shown = logged(configure)
    assert [line[: len(wanted)] for line, wanted in zip(shown, lines, strict=True)] == lines


def test_a_file_config_does_not_silence_us(tmp_path: Path) -> None:
    file = tmp_path / "logging.ini"
    file.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=console\n[formatters]\nkeys=\n"
        "[logger_root]\nlevel=ERROR\nhandlers=console\n"
        "[handler_console]\nclass=StreamHandler\nargs=(sys.stderr,)\n"
    )
    assert logged(f"logging.config.fileConfig({str(file)!r})") == ["ours of given"]


def test_libraries_are_quiet_where_no_user_code_runs() -> None:
    out = io.StringIO()
    configure_logging("debug", "json", out)
    logging.getLogger("library").info("not shown")
    logging.getLogger("library").warning("shown")
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["shown"]


UNCAUGHT = """
import threading, warnings
from asyncendpoints_core.process.logs import configure_logging, log_uncaught

configure_logging("info", "json")
log_uncaught()
warnings.warn("old", FutureWarning)
thread = threading.Thread(target=lambda: 1 / 0, name="t1")
thread.start()
thread.join()
raise ValueError("at the end")
"""


def test_warnings_and_uncaught_exceptions_are_log_lines() -> None:
    done = subprocess.run([sys.executable, "-c", UNCAUGHT], capture_output=True, text=True)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    # A warning's second line is the source code, which Python 3.13 has for -c too.
    firsts = [line["message"].splitlines()[0] for line in lines]
    found = [line.split(": ")[-1].strip()[:27] for line in firsts]
    assert list(zip([line["level"] for line in lines], found, strict=True)) == [
        ("warning", "old"),
        ("error", "uncaught exception in t1"),
        ("critical", "uncaught exception"),
    ]
    assert "ZeroDivisionError" in lines[1]["error"]
    assert "ValueError: at the end" in lines[2]["error"]
