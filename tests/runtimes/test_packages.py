"""What a missing package says, and that the install command names packages that exist."""

from __future__ import annotations

import pytest

from vggc.diagnostics import CompileError
from vggc.runtimes.packages import Package, missing, need

HERE, GONE, LOST = Package("json", "json"), Package("no_such_module", "no-such"), Package("neither.this", "nor-this")


def test_nothing_is_missing() -> None:
    assert missing("the target `x`", [HERE]) is None
    need("the target `x`", [HERE])


def test_the_command_names_what_is_missing() -> None:
    with pytest.raises(CompileError) as caught:
        need("the target `x`", [HERE, GONE])
    (found,) = caught.value.diagnostics
    assert found.message == "the target `x` needs the Python package `no-such`, which is not installed"
    assert found.help == "install it for this Python: pip install no-such"


def test_several_packages_are_named_in_one_command() -> None:
    found = missing("the target `x`", [GONE, HERE, LOST])
    assert found is not None
    assert found.message == "the target `x` needs the Python packages `no-such` and `nor-this`, which are not installed"
    assert found.help == "install them for this Python: pip install no-such nor-this"
