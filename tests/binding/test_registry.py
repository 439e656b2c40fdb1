"""What comes with vggc, found by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vggc.binding.registry import PassFolder, shipped


def test_every_shipped_thing_has_a_schema_and_says_what_its_options_mean() -> None:
    registry = shipped()
    things = {
        **{name: registry.passes[name] for name in registry.passes},
        **registry.loaders,
        **registry.measures,
        **registry.targets,
    }
    assert {"simplify", "fold_batch_norm", "npz", "images", "accuracy", "size", "onnx", "tensorrt_rtx"} <= set(things)
    for name, each in things.items():
        assert each.name == name
        assert each.doc, name
        silent = [option.name for option in each.schema.options if not option.doc]
        assert not silent, f"{name} does not document {silent}"


def test_passes_are_listed_without_importing_them() -> None:
    code = (
        "import sys; from vggc.binding.registry import shipped; names = list(shipped().passes); "
        "print('simplify' in names, 'vggc.passes.simplify' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "True False\n"


def test_a_module_without_its_pass_is_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_passes_for_a_test"
    package.mkdir()
    for name in ("__init__", "_helper", "empty"):
        (package / f"{name}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    folder = PassFolder("some_passes_for_a_test")
    assert list(folder) == ["empty"] and len(folder) == 1
    with pytest.raises(TypeError, match="does not define the pass it is named after"):
        folder["empty"]
    with pytest.raises(KeyError):
        folder["missing"]
