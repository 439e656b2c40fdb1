"""A function in a child process: its result, its exceptions, and a process that dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from vggc.diagnostics import Code, CompileError
from vggc.runtimes.process import Raised, call

MODULE = """
import os, sys, time
from vggc.diagnostics import Code, fail

def double(number): print("noise"); return 2 * number
def refuse(): raise fail("no", facts=(("a", "b"),), help="do it", code=Code.BENCH)
def leave(): sys.exit("bye")
def die(): print("last words", file=sys.stderr); sys.stderr.flush(); os._exit(3)
def sleep(): time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> list[str]:
    (tmp_path / "converter.py").write_text(MODULE)
    return [str(tmp_path)]


def test_the_result_of_a_function_that_prints(folder: list[str]) -> None:
    assert call("converter:double", {"number": 21}, "doubled", path=folder) == 42


def test_an_error_keeps_its_facts_and_code(folder: list[str]) -> None:
    with pytest.raises(CompileError) as caught:
        call("converter:refuse", {}, "refused", path=folder)
    (found,) = caught.value.diagnostics
    assert (found.message, found.facts, found.help, found.code) == ("no", (("a", "b"),), "do it", Code.BENCH)


def test_an_exception_and_an_exit_of_a_converter(folder: list[str]) -> None:
    with pytest.raises(Raised) as caught:
        call("converter:leave", {}, "left", path=folder)
    assert (caught.value.kind, caught.value.lines) == ("SystemExit", ["bye"])


def test_a_process_that_dies_and_one_that_takes_too_long(folder: list[str]) -> None:
    with pytest.raises(CompileError, match="the process that died ended with status 3") as caught:
        call("converter:die", {}, "died", path=folder)
    assert caught.value.diagnostics[0].facts == (("last output", "last words"),)
    assert caught.value.diagnostics[0].code is Code.CONVERSION_ENDED
    with pytest.raises(CompileError, match=r"the process that slept did not end within 0.5 s"):
        call("converter:sleep", {}, "slept", path=folder, timeout=0.5)
