"""The verbs of make.py, and the versions they install: the locked ones are versions that pyproject.toml allows."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from vggc.binding.modules import import_file

ROOT = Path(__file__).parents[1]
make = import_file(ROOT / "make.py")
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = (
    {"sys_platform": "linux", "platform_machine": "x86_64"},
    {"sys_platform": "win32", "platform_machine": "AMD64"},
)


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "make.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def locked(system: dict[str, str], python: str) -> dict[str, Requirement]:
    """The locked version of each package, for a system and a Python."""
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]
    place = {**default_environment(), **system, "python_version": python, "python_full_version": f"{python}.0"}
    return {canonicalize_name(pin.name): pin for pin in pins if pin.marker is None or pin.marker.evaluate(place)}


def test_the_makefile_has_the_verbs() -> None:
    (verbs,) = re.findall(r"^VERBS = (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert verbs.split() == list(make.VERBS)


def test_without_a_verb_it_lists_them() -> None:
    listed = program()
    assert listed.returncode == 0
    assert re.findall(r"^make ([\w-]+) +[A-Z]", listed.stdout, re.MULTILINE) == list(make.VERBS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tset"], "make.py: no verb `tset`; there are install, demo, test, "),
        (["test", "LATEST=1", "OLDEST=1"], "LATEST and OLDEST exclude each other"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str) -> None:
    result = program(*arguments)
    assert result.returncode == 1
    assert result.stderr.startswith(message)


def test_a_command_that_fails_ends_the_verb_with_its_status() -> None:
    with pytest.raises(SystemExit) as end:
        make.run(sys.executable, "-c", "import os, sys; sys.exit(7 if os.environ['VGGC_CACHE'] == 'off' else 1)")
    assert end.value.code == 7


def test_an_environment_is_installed_once(tmp_path: Path) -> None:
    need, installed = tmp_path / "need", []
    need.touch()
    environment = make.Environment(tmp_path)
    environment.python = Path(sys.executable)
    for _ in range(2):
        environment.install(need, commands=lambda: installed.append("first"))
    (tmp_path / "installed").unlink()
    environment.install(need, commands=lambda: installed.append("again"))
    assert installed == ["first", "again"]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system["sys_platform"])
def test_the_locked_versions_are_allowed(system: dict[str, str], python: str) -> None:
    pins, project = locked(system, python), SETTINGS["project"]
    wanted = map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]])
    place = {**default_environment(), **system, "python_version": python}
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate(place):
            continue
        (exact,) = pins[canonicalize_name(requirement.name)].specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version), f"{requirement}: run `make lock`"


def test_no_package_is_locked_twice_or_by_address() -> None:
    text = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text and "--" not in text
    names = re.findall(r"^([\w-]+)==\S+(?: ; (.+))?$", text, re.MULTILINE)
    assert len(set(names)) == len(names) > len(SETTINGS["project"]["dependencies"])


def test_pythons_that_are_locked_are_the_ones_allowed() -> None:
    allowed = SpecifierSet(SETTINGS["project"]["requires-python"])
    assert all(python in allowed for python in PYTHONS)
