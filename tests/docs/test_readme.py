"""The README's recipes, commands, messages and tables are what vggc does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest

from vggc.binding.modules import import_file
from vggc.cli.main import BUG, DONE, INTERRUPTED, USAGE, WRONG_INPUT
from vggc.diagnostics import RequirementNotMet

ROOT = Path(__file__).parents[2]
documents = import_file(Path(__file__).parent / "documents.py")
make = import_file(ROOT / "make.py")
README = (ROOT / "README.md").read_text(encoding="utf-8")
DIGITS = ROOT / "examples" / "digits"
MODEL = DIGITS / "digits_vgg.onnx"

TWO_RELUS = """
<ir_version: 8, opset_import: ["": 17]>
g (float[n, 3] x) => (float[n, 3] y) { a = Relu(x) b = Relu(a) y = Neg(b) }
"""

needs_tensorrt_rtx = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has wheels for Linux and Windows on x86-64 only"
)


def blocks(language: str) -> list[str]:
    """The README's fenced code blocks of one language."""
    found: list[str] = documents.blocks(ROOT / "README.md", language)
    return found


def vggc(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vggc", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_its_two_commands_are_demo_and_test() -> None:
    assert [line.split("#")[0].strip() for line in blocks("sh")[1].splitlines()] == ["make demo", "make test"]


def test_it_shows_the_recipe_of_the_example() -> None:
    assert blocks("opt")[0] == (DIGITS / "digits.opt").read_text(encoding="utf-8")


@needs_tensorrt_rtx
def test_the_demo_prunes_folds_and_builds_an_engine(tmp_path: Path) -> None:
    recipe, model, option, out = make.DEMO
    documents.clone(tmp_path)
    result = vggc(recipe, model, option, out, folder=tmp_path)
    assert result.returncode == DONE, result.stderr
    assert documents.same(blocks("text")[0], result.stdout)

    written = tmp_path / out
    assert {each.name for each in written.iterdir()} == {
        "model.onnx",
        "model.engine",
        "model.engine.json",
        "model.engine.log",
        "report.html",
        "report.json",
    }
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(written / "model.onnx").graph.node}
    report = json.loads((written / "report.json").read_text(encoding="utf-8"))
    (fold,) = [step for step in report["steps"] if step["name"] == "fold_batch_norm"]
    assert sum(fold["changes"].values()) == 6


@needs_tensorrt_rtx
def test_the_recipe_shown_holds_its_requirements(tmp_path: Path) -> None:
    result = vggc(DIGITS / "digits.opt", MODEL, "--set", "batch=1..1..64", "-o", tmp_path / "out", folder=tmp_path)
    assert result.returncode == DONE, result.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert len(report["requirements"]) == 2


def test_the_message_shown_is_the_message_printed(tmp_path: Path) -> None:
    (tmp_path / "my.opt").write_text("simplify\nfold_batchnorm\ntarget onnx\n", encoding="utf-8")
    result = vggc("check", "my.opt", folder=tmp_path)
    assert result.returncode == WRONG_INPUT
    assert result.stderr == blocks("text")[1]


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    documents.clone(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(blocks("python")[0], {})
    assert (tmp_path / "build/digits_vgg-int8_cpu/model.onnx").is_file()
    assert "agreement(calib) >= 97%" in capsys.readouterr().out


def test_the_pass_shown_works(tmp_path: Path) -> None:
    (tmp_path / "my_passes.py").write_text(blocks("python")[1], encoding="utf-8")
    (recipe,) = [each for each in blocks("opt") if "my_passes.py" in each]
    (tmp_path / "own.opt").write_text(recipe, encoding="utf-8")
    onnx.save(onnx.parser.parse_model(TWO_RELUS), tmp_path / "relu.onnx")
    result = vggc("own.opt", "relu.onnx", "-o", "out", folder=tmp_path)
    assert result.returncode == DONE, result.stderr
    model = onnx.load(tmp_path / "out" / "model.onnx")
    assert [node.op_type for node in model.graph.node] == ["Relu", "Neg"]


def test_the_commands_and_options_shown_exist(tmp_path: Path) -> None:
    commands = set(re.findall(r"^vggc ([a-z-]+) ", blocks("sh")[2], re.MULTILINE))
    listed = vggc("--help", folder=tmp_path).stdout.partition("Commands:")[2]
    assert commands == set(re.findall(r"^  ([a-z-]+)  ", listed, re.MULTILINE))
    options = set(re.findall(r"^\| `(--?\w+)", README, re.MULTILINE))
    assert options
    compile_help = vggc("compile", "--help", folder=tmp_path).stdout
    assert all(re.search(rf"(^|\s){option}\b", compile_help) for option in options)


def test_the_exit_statuses_shown_are_the_ones_used() -> None:
    table = {int(each) for each in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert table == {DONE, WRONG_INPUT, USAGE, RequirementNotMet.status, BUG, INTERRUPTED}
