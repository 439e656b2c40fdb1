"""`--no-python` refuses recipes that bring in Python, before any of it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

RAN = Path("ran.txt")
PYTHON = f"from pathlib import Path\nPath('{RAN}').write_text('')\n"
COMMANDS = (["r.opt", "model.onnx", "-o", "out"], ["check", "r.opt"], ["plan", "r.opt", "model.onnx"])


@pytest.mark.parametrize("command", [*COMMANDS, ["check", "--rules", "r.opt"]])
def test_python_in_the_recipe(vggc: Any, command: list[str]) -> None:
    Path("own.py").write_text(PYTHON)
    Path("r.opt").write_text('use "own.py"\nrule twice { Relu(Relu(x)) => Relu(x) }\nmine\ntwice\n')
    ran = vggc(*command, "--no-python")
    assert ran.status == 1
    assert ran.err == (
        "error: `own.py` is Python, which --no-python refuses [VGGC155]\n"
        " --> r.opt:1:5\n"
        "  |\n"
        '1 | use "own.py"\n'
        "  |     ^^^^^^^^\n"
        "help: read the file, and leave out --no-python if you trust it: it runs with your permissions\n"
    )
    assert not RAN.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_python_through_other_recipes(vggc: Any, command: list[str]) -> None:
    Path("own.py").write_text(PYTHON)
    Path("inner.opt").write_text('\nuse "own.py"\n')
    Path("outer.opt").write_text('use "inner.opt"\n')
    Path("r.opt").write_text('use "outer.opt"\nsimplify\n')
    ran = vggc(*command, "--no-python")
    assert ran.status == 1
    assert ran.err.count("error:") == 1
    assert "`own.py` is Python, which --no-python refuses [VGGC155]\n --> inner.opt:2:5\n" in ran.err
    assert not RAN.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_recipes_and_shipped_rules_are_no_python(vggc: Any, command: list[str]) -> None:
    Path("r.opt").write_text('use "vggc:rules/all.opt"\nsimplify\noptimize\n')
    assert vggc(*command, "--no-python").status == 0
