"""SIGINT while a command is still being imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from asyncendpoints_cli import commands

# Interrupts itself when a module is about to be imported, or a function of that name is called.
PROGRAM = """
import os, runpy, signal, sys
from importlib.metadata import entry_points

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

def profile(frame, event, arg):
    if event == "call" and frame.f_code.co_name == module:
        os.kill(os.getpid(), signal.SIGINT)

module, entry, *sys.argv[1:] = sys.argv[1:]
sys.meta_path.insert(0, Interrupt())
sys.setprofile(profile)
if entry == "-m":
    runpy.run_module("asyncendpoints_cli", run_name="__main__", alter_sys=True)
else:
    [script] = entry_points(group="console_scripts", name=entry)
    sys.exit(script.load()())
"""
PARSER = "asyncendpoints_cli.parser"
OPTIONS = {
    "jobs": ("jobs", "list"),
    "queue": ("queue", "show"),
    "console": ("console",),
    "completion": ("completion", "bash"),
    "run": ("run", "x.yaml"),
    "validate": ("validate", "x.yaml"),
    "init": ("init", "x"),
    "export": ("export", "x.yaml"),
    "unpin": ("unpin", "x"),
    "webhook_secret": ("webhook-secret", "https://hooks.example.com"),
}
NAMES = sorted(file.stem for file in Path(str(commands.__file__)).parent.glob("[a-z]*.py"))


def interrupted(module: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command that is interrupted when it imports `module`: its status and its output."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, module, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_command_ends_without_a_traceback(name: str) -> None:
    words = OPTIONS.get(name, (name.replace("_", "-"),))
    module = f"asyncendpoints_cli.commands.{name}"
    assert interrupted(module, "asyncendpoints", *words) == (130, "", "")


@pytest.mark.parametrize("entry", ["-m", "asyncendpoints", "kubectl-aep", "kubectl_complete-aep"])
def test_each_entry_point_does_so_from_the_start(entry: str) -> None:
    assert interrupted(PARSER, entry, "jobs", "list") == (130, "", "")


def test_an_interrupt_while_a_class_is_made_is_no_error_of_the_class() -> None:
    words = ("asyncendpoints", "validate", "x.yaml")
    assert interrupted("__set_name__", *words) == (130, "", "")
