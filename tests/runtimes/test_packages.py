"""What a missing package says, and which Python runs a converter."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vggc.diagnostics import Code, CompileError
from vggc.diagnostics.packages import Optional
from vggc.runtimes.packages import installed_version, missing, need, python_of

HERE = Optional("here", "tests", ("numpy",), ("numpy",))
LOST = Optional("lost", "tests", ("numpy", "no-such", "nor-this"), ("numpy", "no_such_module", "neither.this"))


def test_nothing_is_missing() -> None:
    assert missing("the target `x`", HERE) is None
    need("the target `x`", HERE)
    assert python_of(HERE) == sys.executable
    assert installed_version(HERE, "numpy").count(".") == 2


def test_the_command_names_what_is_missing() -> None:
    with pytest.raises(CompileError) as caught:
        need("the target `x`", LOST)
    (found,) = caught.value.diagnostics
    assert found.message == "the target `x` needs the Python packages `no-such` and `nor-this`, which are not installed"
    assert found.help == "install them for this Python: pip install no-such nor-this"
    assert found.code == Code.MISSING_PACKAGE


@pytest.mark.skipif(sys.platform == "win32", reason="the paths are those of Linux")
def test_packages_that_do_not_fit_beside_vggc_go_into_another_environment() -> None:
    found = missing("the target `x`", replace(LOST, separate=True))
    assert found is not None
    assert found.help == (
        "install it into a separate environment: python -m venv lost-env; lost-env/bin/python -m pip install "
        "numpy no-such nor-this; then set VGGC_PYTHON_LOST=lost-env/bin/python"
    )


def test_the_variable_names_another_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VGGC_PYTHON_LOST", sys.executable)
    assert missing("the target `x`", LOST) is None
    assert python_of(LOST) == sys.executable
    assert installed_version(LOST, "numpy").count(".") == 2
    monkeypatch.setenv("VGGC_PYTHON_LOST", str(tmp_path))
    found = missing("the target `x`", LOST)
    assert found is not None and found.code == Code.VARIABLE
    assert found.message == f"VGGC_PYTHON_LOST is `{tmp_path}`, which is not a program"
