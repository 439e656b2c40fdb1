"""A function in a child process: its result, its exceptions, and a process that dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from vggc.diagnostics import Code, CompileError
from vggc.diagnostics.packages import Optional
from vggc.runtimes.process import Raised, call

PACKAGES = Optional("here", "tests", ("numpy",), ("numpy",))
PROGRAM = """
import os, sys, time

class Refused(Exception):
    help = "do it"

def double(number): print("noise"); return 2 * number
def refuse(): raise Refused("no\\n\\nmore")
def leave(): sys.exit("bye")
def die(): print("last words", file=sys.stderr); sys.stderr.flush(); os._exit(3)
def sleep(): time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "json.py").write_text(PROGRAM)
    return tmp_path


def test_the_result_of_a_function_that_prints(folder: Path) -> None:
    # A program with the name of a package does not hide that package.
    assert call(PACKAGES, "json:double", {"number": 21}, "doubled", folder=folder) == 42


def test_an_exception_keeps_its_words_and_its_help(folder: Path) -> None:
    with pytest.raises(Raised) as caught:
        call(PACKAGES, "json:refuse", {}, "refused", folder=folder)
    assert (caught.value.kind, caught.value.lines, caught.value.help) == ("Refused", ["no", "more"], "do it")


def test_a_converter_that_exits(folder: Path) -> None:
    with pytest.raises(Raised) as caught:
        call(PACKAGES, "json:leave", {}, "left", folder=folder)
    assert (caught.value.kind, caught.value.lines) == ("SystemExit", ["bye"])


def test_a_process_that_dies_and_one_that_takes_too_long(folder: Path) -> None:
    with pytest.raises(CompileError, match="the process that died ended with status 3") as caught:
        call(PACKAGES, "json:die", {}, "died", folder=folder)
    assert caught.value.diagnostics[0].facts == (("last output", "last words"),)
    assert caught.value.diagnostics[0].code is Code.CONVERSION_ENDED
    with pytest.raises(CompileError, match=r"the process that slept did not end within 0.5 s"):
        call(PACKAGES, "json:sleep", {}, "slept", folder=folder, timeout=0.5)
