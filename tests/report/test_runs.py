"""Several compiles side by side: `vggc report`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from vggc.cli.main import run
from vggc.diagnostics import Code, CompileError
from vggc.report.run_summary import read_run

Open = Callable[..., Any]
Refused = Callable[[str], Any]


@pytest.fixture(scope="module")
def folders(page_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The outputs of two compiles; the second one kept more channels, and took half the time."""
    first, second = (tmp_path_factory.mktemp("runs") / name for name in ("first", "second"))
    shutil.copytree(page_file.parent, first)
    shutil.copytree(page_file.parent, second)
    report = json.loads((second / "report.json").read_text())
    report["recipe"]["parameters"]["keep"] = 0.8
    report["recipe"]["text"] = report["recipe"]["text"].replace("keep = 60%", "keep = 80%")
    report["latency"]["after"]["median"] /= 2
    channels = report["steps"][0]["channels"]
    name = next(iter(channels))
    channels[name] = [*channels[name], max(channels[name]) + 1]
    (second / "report.json").write_text(json.dumps(report))
    return first, second


def test_what_differs_is_one_click_away(opened: Open, folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert run(["report", *map(str, folders), "-o", str(tmp_path / "runs.html")]) == 0
    page = opened(tmp_path / "runs.html").page
    rows = page.locator("#measures tbody tr")
    everything = rows.count()
    page.get_by_label("Only rows that differ").check()
    left = [each for each in rows.all() if each.is_visible()]
    assert [each.locator("th").inner_text() for each in left] == ["time on the CPU"]
    assert "-50.0%" in left[0].inner_text()
    assert everything > len(left)
    assert page.locator("#parameters tr.differs").inner_text().split() == ["keep", "0.6", "0.8"]
    assert page.locator("#widths tr.differs").count() == 1
    assert "+param keep = 80%" in page.locator("#recipes").inner_text()


def test_a_report_of_a_revision(folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(folders[0] / "report.json", tmp_path)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost"]
    for arguments in (["init", "-q"], ["add", "report.json"], ["commit", "-qm", "Add a report"]):
        subprocess.run([*git, *arguments], check=True)
    Path("report.json").unlink()
    assert read_run("HEAD:report.json").measures == read_run(str(folders[0])).measures


@pytest.mark.parametrize("text", ["[]", "{", '{"recipe": 1, "model": 2, "steps": 3, "artifacts": 4}'])
def test_a_file_that_is_not_a_report(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("report.json").write_text(text)
    help = "help: name the output folder of a compile, its report.json, or REVISION:PATH of a report.json in git"
    with refused(f"error: `report.json` is not a report of vggc\n{help}"):
        read_run("report.json")
    with refused(f"error: there is no report `nowhere`\n{help}"):
        read_run("nowhere")
    with pytest.raises(CompileError) as caught:
        read_run("nowhere")
    assert caught.value.diagnostics[0].code is Code.REPORT


def test_runs_are_written_to_mlflow(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow itself brings many packages, so that what it would get is recorded here."""
    got: list[tuple[Any, ...]] = []

    class Client:
        def __init__(self, address: str) -> None:
            got.append(("client", address))

        def get_experiment_by_name(self, name: str) -> None:
            got.append(("experiment", name))

        def create_experiment(self, name: str) -> str:
            return name

        def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> Any:
            return SimpleNamespace(info=SimpleNamespace(run_id=Path(run_name).name))

        def log_param(self, *arguments: Any) -> None:
            got.append(arguments)

        log_metric = log_param

        def set_terminated(self, identifier: str) -> None:
            got.append(("done", identifier))

    for name, content in (
        ("mlflow", {}),
        ("mlflow.exceptions", {"MlflowException": RuntimeError}),
        ("mlflow.tracking", {"MlflowClient": Client}),
    ):
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    page = str(tmp_path / "runs.html")
    assert run(["report", *map(str, folders), "-o", page, "--mlflow", "http://tracking"]) == 0
    assert got[:2] == [("client", "http://tracking"), ("experiment", "vggc")]
    assert ("first", "keep", "0.6") in got and ("second", "keep", "0.8") in got
    assert next(each[2] for each in got if each[:2] == ("first", "nodes")) > 10
    # Names of requirements have characters that MLflow refuses.
    assert any(each[:2] == ("first", "agreement samples 1") for each in got)
    assert got[-1] == ("done", "second")


def test_mlflow_is_named_when_it_is_missing(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    assert run(["report", str(folders[0]), "-o", str(tmp_path / "runs.html"), "--mlflow", "http://tracking"]) == 1
    assert "pip install mlflow-skinny" in capsys.readouterr().err
