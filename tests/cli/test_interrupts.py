"""Ctrl-C while the program starts and while it ends: the documented status, and no traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vggc.cli.main import run as run_here
from vggc.cli.main import vggc as group

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send to oneself")

WHILE_LOADING = """
import importlib.abc, os, signal, sys

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "vggc.cli.commands":
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, Interrupt())
sys.argv = ["vggc", "passes"]
from vggc.cli import main
main()
"""

WHILE_ENDING = """
import atexit, os, signal, sys
from vggc.cli import main
atexit.register(os.kill, os.getpid(), signal.SIGINT)
sys.argv = ["vggc", "--version"]
main()
"""


def run(program: str) -> tuple[int, str, str]:
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout, ran.stderr


def test_an_interrupt_while_modules_load() -> None:
    assert run(WHILE_LOADING) == (130, "", "interrupted: no output was written\n")


def test_a_library_interrupted_while_it_loads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*words: object, **options: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr(group, "main", load)
    assert run_here(["passes"]) == 130
    assert capsys.readouterr().err == "interrupted: no output was written\n"


def test_an_interrupt_when_all_is_done_changes_nothing() -> None:
    status, out, err = run(WHILE_ENDING)
    assert (status, err) == (0, "")
    assert out.startswith("vggc 0.")
