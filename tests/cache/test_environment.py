"""What computes: a change of any part of it is a change of the whole."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from vggc.cache import environment
from vggc.execution.threads import limited_threads


def test_an_edited_source_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        environment, "find_spec", lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path / name)])
    )
    seen = set()
    for package, name in (
        ("vggc", "a.py"),
        ("vggc.passes", "b.py"),
        ("vggc.grammar", "c.lark"),
        ("vggc.recipes", "d.opt"),
    ):
        path = tmp_path / package / name
        path.parent.mkdir()
        for text in ("one", "two"):
            path.write_text(text)
            seen.add(environment.code_hash.__wrapped__())
        path.with_name("notes.txt").write_text("not a source")
        seen.add(environment.code_hash.__wrapped__())
    assert len(seen) == 8


def test_every_package_of_vggc_is_found() -> None:
    for package in ("vggc", "vggc.passes", "vggc.grammar", "vggc.recipes"):
        spec = environment.find_spec(package)
        assert spec is not None and spec.submodule_search_locations
        assert any(Path(folder).glob("*.py") for folder in spec.submodule_search_locations)


def test_the_number_of_threads_is_a_part_of_it() -> None:
    before = environment.environment()
    with limited_threads(3):
        assert environment.environment() != before
    assert environment.environment() == before
    assert {"vggc", "onnxruntime", "numpy", "processor"} <= before.keys()
