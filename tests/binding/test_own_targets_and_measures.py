"""Targets and measures in a user's Python file: what recipes can do with them, and what goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vggc.binding.modules import import_file

vggc = import_file(Path(__file__).parents[1] / "cli" / "conftest.py").vggc

TARGET = '''
from vggc.targets.contract import Artifact, Lowering, target


@target(files=lambda options: [options["name"]])
def names(lowering: Lowering, *, name: str = "names.txt") -> list[Artifact]:
    """Write the names of the nodes."""
    path = lowering.claim(name)
    path.write_text("\\n".join(node.name for node in lowering.graph.nodes))
    return [Artifact.of(path, lowering.directory, "names")]
'''

MEASURE = '''
from pathlib import Path

import numpy as np

from vggc.data import Dataset
from vggc.measures import Subject, measure
from vggc.values import Ratio


@measure(better="higher")
def weighted(subject: Subject, data: Dataset, *, weights: Path) -> Ratio:
    """The share of right answers, each class with its weight.

    Options:
        data: samples with the array `truth`.
        weights: a text file with the weight of each class.
    """
    weight = np.loadtxt(weights)
    truth = np.concatenate(list(data.extra("truth")))
    found = np.concatenate([batch["logits"].argmax(1) for batch in subject.all_outputs(data)])
    return Ratio((weight[truth] * (truth == found)).sum() / weight[truth].sum())
'''


@pytest.fixture
def folder(vggc: Any) -> Path:
    Path("mine").mkdir()
    Path("mine/my_target.py").write_text(TARGET)
    Path("mine/my_measure.py").write_text(MEASURE)
    np.savez("mine/a.npz", x=np.zeros((8, 3, 8, 8), np.float32), truth=np.arange(8) % 4)
    Path("mine/weights.txt").write_text("1 1 1 1")
    return Path("mine")


def compile_(vggc: Any, text: str) -> Any:
    Path("mine/r.opt").write_text(text)
    return vggc("mine/r.opt", "model.onnx", "-o", "out")


def test_a_target_writes_its_file(vggc: Any, folder: Path) -> None:
    ran = compile_(vggc, 'use "my_target.py"\nfold_batch_norm\ntarget onnx\ntarget names(name="nodes.txt")\n')
    assert ran.status == 0, ran.err
    assert Path("out/nodes.txt").read_text().split() == ["conv", "relu", "copy", "pool", "flatten", "head"]
    assert "out/nodes.txt" in ran.out and "names" in ran.out


READER = '''
from vggc.data import Dataset
from vggc.graph.signature import inputs_of
from vggc.targets.contract import Artifact, Lowering, target


@target
def counted(lowering: Lowering, *, data: Dataset, name: str = "count.txt") -> list[Artifact]:
    """Write the number of samples, and keep a file for the next target."""
    path = lowering.claim(name)
    notes = lowering.scratch("counted") / "notes.txt"
    notes.write_text(f"{notes.read_text() if notes.exists() else ''}{len(data.fit(inputs_of(lowering.graph)))} ")
    path.write_text(notes.read_text())
    return [Artifact.of(path, lowering.directory, "counted")]
'''


def test_a_target_reads_data_and_shares_a_folder(vggc: Any, folder: Path) -> None:
    Path("mine/my_reader.py").write_text(READER)
    head = 'use "my_reader.py"\nuse "my_target.py"\ndata some = npz("a.npz")\nfold_batch_norm\n'
    ran = compile_(vggc, f'{head}target counted(data=some)\ntarget counted(data=some, name="again.txt")\n')
    assert ran.status == 0, ran.err
    assert (Path("out/count.txt").read_text(), Path("out/again.txt").read_text()) == ("8 ", "8 8 ")
    assert sorted(each.name for each in Path("out").iterdir()) == [
        "again.txt",
        "count.txt",
        "report.html",
        "report.json",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('use "my_target.py"\nsimplify\ntarget nmes\n', "unknown target `nmes`"),
        ('use "my_target.py"\nsimplify\ntarget names(nam="x")\n', "`names` has no option `nam`"),
        ('use "my_target.py"\nsimplify\ntarget names\ntarget names\n', "two targets write the file `names.txt`"),
        ('use "my_target.py"\nsimplify\ntarget names(name="report.json")\n', "is reserved for the compile report"),
    ],
)
def test_mistakes_with_a_target(vggc: Any, folder: Path, text: str, message: str) -> None:
    Path("mine/r.opt").write_text(text)
    ran = vggc("check", "mine/r.opt")
    assert ran.status == 1 and message in ran.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("return [", "raise ValueError('no disk') or ["), "target `names` raised ValueError: no disk"),
        (("return [", "return 3 and ["), ""),
        (('"names")]', '"names")][0]'), "target `names` did not return a list of Artifact"),
        (("def names(", "def onnx("), "`onnx` is the name of a target"),
    ],
)
def test_a_target_that_goes_wrong(vggc: Any, folder: Path, change: tuple[str, str], message: str) -> None:
    Path("mine/my_target.py").write_text(TARGET.replace(*change))
    ran = compile_(vggc, 'use "my_target.py"\nsimplify\ntarget names\n')
    assert ran.status == (1 if message else 0) and message in ran.err and "bug in vggc" not in ran.err
    assert Path("out").exists() == (not message)


def test_a_measure_sees_outputs_arrays_and_files(vggc: Any, folder: Path) -> None:
    text = 'use "my_measure.py"\ndata test = npz("a.npz", inputs={"x": "x"})\nsimplify\n'
    text += 'require weighted(test, weights="weights.txt") >= 0%\ntarget onnx\n'
    ran = compile_(vggc, text)
    assert ran.status == 0, ran.err
    assert " 25.00%  >= 0.00%" in ran.out
    ran = compile_(vggc, text.replace('"weights.txt"', '"wights.txt"'))
    assert ran.status == 1 and "there is no file or folder `mine/wights.txt`" in ran.err
    assert "help: a similar name exists: `mine/weights.txt`" in ran.err


def test_a_measure_that_raises(vggc: Any, folder: Path) -> None:
    Path("mine/weights.txt").write_text("one two")
    text = 'use "my_measure.py"\ndata test = npz("a.npz", inputs={"x": "x"})\nsimplify\n'
    text += 'require weighted(test, weights="weights.txt") >= 0%\ntarget onnx\n'
    ran = compile_(vggc, text)
    assert ran.status == 1 and "error: measure `weighted` raised ValueError" in ran.err
    assert "raised at: mine/my_measure.py:" in ran.err and "bug in vggc" not in ran.err


def test_the_value_is_kept_until_the_file_changes(
    vggc: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGGC_CACHE", str(tmp_path / "cache"))
    text = 'use "my_measure.py"\ndata test = npz("a.npz", inputs={"x": "x"})\nsimplify\n'
    text += 'require weighted(test, weights="weights.txt") >= 0%\ntarget onnx\n'
    first = compile_(vggc, text).out
    assert " 25.00%" in first and " 25.00%" in compile_(vggc, text).out
    Path("mine/weights.txt").write_text("0 1 1 1")
    now = compile_(vggc, text).out
    assert " 25.00%" not in now
    # Arrays beside the inputs are part of what the value depends on.
    np.savez("mine/a.npz", x=np.zeros((8, 3, 8, 8), np.float32), truth=np.zeros(8, int))
    Path("mine/weights.txt").write_text("1 1 1 1")
    assert " 25.00%" not in compile_(vggc, text).out
