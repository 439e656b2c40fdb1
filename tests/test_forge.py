"""What a forge reads: workflows, hooks and templates are well-formed, and run verbs and versions that there are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from vggc.binding.modules import import_file
from vggc.diagnostics.packages import ONNX2TF, OPENVINO, PADDLE, TENSORFLOW, TORCH, TORCHSERVE, TVM

ROOT = Path(__file__).parents[1]
make = import_file(ROOT / "make.py")
setup = import_file(ROOT / "setup.py")
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
MADE = {*make.MADE, "PKG-INFO", "setup.cfg", ".git"}
"""What stands beside the repository's files: made by verbs, by git, or by a build of the source distribution."""
PACKED = {"pyproject.toml", "setup.py", "MANIFEST.in"}
"""What a build puts into a source distribution unasked."""


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        yield from load(path)["jobs"].items()


def commands() -> list[str]:
    """Everything that workflows and hooks run."""
    steps = [step["run"] for _, job in jobs() for step in job["steps"] if "run" in step]
    hooks = [hook["entry"] for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    return [*steps, *hooks, *(ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()]


def test_every_job_is_complete() -> None:
    names = [name for name, _ in jobs()]
    assert names == ["linux", "windows", "extras", "distribution", "latest", "oldest", "cluster", "large-extras"]
    for name, job in jobs():
        assert job["runs-on"] and job["timeout-minutes"] <= 90, name
        assert all("@" in step["uses"] for step in job["steps"] if "uses" in step), name
        assert any("run" in step for step in job["steps"]), name


def test_what_they_run_are_verbs_with_settings_that_there_are() -> None:
    run = [re.search(r'\bmake(?:\.py)? ([a-z]+)((?: [A-Z]+=(?:"[^"]*"|\S+))*)$', line) for line in commands()]
    found = [match for match in run if match]
    assert len(found) >= 8
    assert {match[1] for match in found} <= set(make.VERBS)
    settings = {setting for match in found for setting in re.findall(r" ([A-Z]+)=", match[2])}
    assert settings == {"LATEST", "OLDEST", "TESTS", "EXTRAS"}
    assert all(f"    {setting}=" in (make.__doc__ or "") for setting in settings)


def test_every_extra_is_tried() -> None:
    trials = import_file(ROOT / "benchmarks" / "extras.py").TRIALS
    by_name = dict(jobs())
    (often,) = re.findall(r'EXTRAS="([^"]*)"', by_name["extras"]["steps"][-1]["run"])
    weekly = by_name["large-extras"]["strategy"]["matrix"]["extra"]
    assert sorted([*often.split(), *weekly]) == sorted(trials)
    roads = {OPENVINO, TVM, ONNX2TF, TENSORFLOW, PADDLE, TORCH, TORCHSERVE}
    assert {each.packages for each in trials.values() if each.packages} == roads


def test_the_pythons_are_those_that_are_locked() -> None:
    strategies = {name: job["strategy"]["matrix"] for name, job in jobs() if "strategy" in job}
    matrices = {name: matrix["python"] for name, matrix in strategies.items() if "python" in matrix}
    assert matrices["linux"] == ["3.11", "3.12", "3.13", "3.14"]
    assert all(set(pythons) <= set(matrices["linux"]) for pythons in matrices.values())
    assert all(python in SpecifierSet(SETTINGS["project"]["requires-python"]) for python in matrices["linux"])


def test_windows_does_without_all_of_the_engine() -> None:
    (command,) = [line for line in commands() if "pip uninstall" in line]
    locked = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8")
    assert set(re.findall(r"tensorrt\S*", command)) == set(re.findall(r"^(tensorrt[\w-]*)==", locked, re.MULTILINE))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_forms_of_issues_are_complete(path: Path) -> None:
    form = load(path)
    assert form["name"] and form["description"]
    identities = [field["id"] for field in form["body"]]
    assert len(set(identities)) == len(identities)
    assert all(field["attributes"]["label"] for field in form["body"])


def test_the_source_distribution_holds_the_repository() -> None:
    lines = [line.split() for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()]
    globs = [glob for line in lines if line and line[0] in ("include", "graft") for glob in line[1:]]
    packages = set(SETTINGS["tool"]["setuptools"]["package-dir"].values())
    entries = {path.name for path in ROOT.iterdir()} - MADE
    lost = [name for name in entries - packages - PACKED if not any(fnmatch(name, glob) for glob in globs)]
    assert not lost, "name these in MANIFEST.in, or among what make.py makes"
    assert all(any(ROOT.glob(glob)) for glob in globs)


def test_on_an_index_the_readme_has_no_links_into_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = setup.index_description()
    assert text.startswith((ROOT / "README.md").read_text(encoding="utf-8").split("\n\n## ")[0])
    assert not re.search(r"\]\((?!https?:)", text)
    assert "\nThis is examples/digits/digits.opt, which" in text
