"""`--threads`: all that a command runs uses this number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import onnxruntime
import pytest

from vggc.cache.environment import THREAD_VARIABLES
from vggc.execution.threads import thread_limit

COMPILE = "data calib = random(seed=1, count=8)\nfold_batch_norm\nquantize(int8, data=calib)"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of threads of each session of onnxruntime that is made."""
    found: list[int] = []

    class Counted(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, model: Any, options: Any, **others: Any) -> None:
            found.append(options.intra_op_num_threads)
            super().__init__(model, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Counted)
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("recipe.opt", "model.onnx"),
        ("plan", "recipe.opt", "model.onnx"),
        ("diff", "model.onnx", "model.onnx"),
        ("bisect", "recipe.opt", "model.onnx", "--measure", "sqnr(calib)"),
    ],
    ids=lambda words: words[0],
)
def test_every_session_has_this_number(
    vggc: Any, recipe: Callable[[str], str], made: list[int], words: tuple[str, ...]
) -> None:
    recipe(COMPILE)
    assert vggc(*words, "--threads", "3").status == 0
    # Constants are computed with one thread in any case.
    assert set(made) - {1} == {3}
    made.clear()
    assert vggc(*words).status == 0
    assert set(made) - {1} == {0}
    assert thread_limit() is None


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5"])
@pytest.mark.parametrize("command", ["compile", "plan", "bisect", "diff", "bench", "export", "validate"])
def test_another_number_is_wrong_usage(vggc: Any, command: str, number: str) -> None:
    ran = vggc(command, "a", "b", "--threads", number)
    assert (ran.status, ran.out) == (2, "")
    outside = f"{number} is not in the range 1<=x<=1024."
    reason = outside if number in ("0", "-1") else f"'{number}' is not a valid integer range."
    assert ran.err.endswith(f"Error: Invalid value for '--threads': {reason}\n")


@pytest.mark.skipif(find_spec("threadpoolctl") is None, reason="threadpoolctl, which asks libraries, is not installed")
def test_the_libraries_under_numpy_have_this_number(vggc: Any, recipe: Callable[[str], str]) -> None:
    recipe(COMPILE)
    program = (
        "import json, sys; from vggc.cli.main import run; status = run(sys.argv[1:]); import threadpoolctl;"
        "print(json.dumps([status, *(each['num_threads'] for each in threadpoolctl.threadpool_info())]))"
    )
    words = [sys.executable, "-P", "-c", program, "recipe.opt", "model.onnx", "--threads", "1"]
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "2")
    ran = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    status, *numbers = json.loads(ran.stdout.splitlines()[-1])
    assert status == 0
    assert numbers and set(numbers) == {1}
