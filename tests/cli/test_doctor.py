"""`vggc doctor`, `--version`, and the commands that install what is missing."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from vggc import __version__
from vggc.cli import doctor_command
from vggc.cli.schema_command import schema_of
from vggc.diagnostics.packages import OPTIONAL

ROOT = Path(__file__).parents[2]


def test_version_names_what_results_depend_on(vggc: Any) -> None:
    ran = vggc("--version")
    assert ran.status == 0
    assert ran.out.startswith(f"vggc {__version__} (Python 3.")
    assert f"onnxruntime {onnxruntime.__version__}" in ran.out


def test_what_is_here(vggc: Any) -> None:
    ran = vggc("doctor")
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert any(line.split()[:2] == ["onnxruntime", onnxruntime.__version__] for line in lines)
    assert {"CPU", "GPU", "cache"} <= {line.split()[0] for line in lines if line.strip()}


def test_as_json(vggc: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="the extra `dev` brings jsonschema")
    content = json.loads(vggc("doctor", "--json").out)
    jsonschema.validate(content, schema_of("doctor"))
    assert content["result"]["cpu"]["cores"] >= 1
    # The tests switch the cache off.
    assert content["result"]["cache"]["folder"] is None


def test_what_is_missing(vggc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_command, "find_spec", lambda name: None)
    ran = vggc("doctor")
    for each in OPTIONAL:
        assert f"missing for {each.purpose}:\n    {each.command}\n" in ran.out
    monkeypatch.setattr(doctor_command, "installed", lambda name: None)
    assert "missing for vggc:\n    pip install lark\n" in vggc("doctor").out


def test_the_packages_are_those_of_the_extras() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    # Packages for a separate environment are not extras of vggc.
    for each in (each for each in OPTIONAL if not each.separate):
        assert set(each.packages) <= {re.split(r"[<>=]", package)[0] for package in extras[each.extra]}


def test_no_message_installs_vggc_from_an_index() -> None:
    for file in [*ROOT.glob("compiler/**/*.py"), *ROOT.glob("docs/*.md"), *ROOT.glob("recipes/**/*.opt")]:
        assert not re.search(r"pip install ['\"]?vggc", file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors", "net.ckpt"])
def test_a_checkpoint_is_exported_first(vggc: Any, name: str) -> None:
    ran = vggc(name)
    assert ran.status == 2
    assert (
        f"`{name}` is a model, not a recipe." in ran.err
        and f"`vggc export FILE.py:FUNCTION --weights {name}" in ran.err
    )


def test_the_recipe_comes_first(vggc: Any) -> None:
    ran = vggc("model.onnx", "recipe.opt")
    assert ran.status == 2 and "The recipe comes first: `vggc recipe.opt model.onnx`." in ran.err
