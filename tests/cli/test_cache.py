"""`vggc cache` and `--no-cache`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vggc.cache import open_store
from vggc.cli.main import run

KEY = "0" * 64


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VGGC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_lists_and_clears(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store()
    assert store is not None
    store.write("graphs", KEY, b"x" * 1968)
    store.write("steps", KEY, b"x" * 968)
    assert run(["cache"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["what", "steps", "did", "1", "1", "kB"] in lines
    assert ["models", "between", "steps", "1", "2", "kB"] in lines
    assert lines[-1] == [f"{folder}:", "3", "kB", "of", "at", "most", "4.29", "GB"]
    assert run(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == "removed 2 files, 3 kB\n"
    assert not any(path.is_file() for path in folder.rglob("*"))


def test_it_says_that_it_is_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VGGC_CACHE", "off")
    assert run(["cache"]) == 0
    assert capsys.readouterr().out == "nothing is kept between runs: the environment variable VGGC_CACHE is off\n"


@pytest.mark.parametrize("variable", ["VGGC_CACHE", "VGGC_CACHE_SIZE"])
def test_a_variable_without_a_meaning(folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "nonsense")
    assert run(["cache"]) == 1


@pytest.mark.parametrize("before", ["off", None])
def test_no_cache_ends_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str | None) -> None:
    if before is None:
        monkeypatch.delenv("VGGC_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run(["plan", "missing.opt", "missing.onnx", "--no-cache"]) == 1
    assert os.environ.get("VGGC_CACHE") == before
    assert not list(tmp_path.iterdir())
