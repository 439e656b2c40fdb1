"""Ranges kept between runs: the same result with and without, and never those of something else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from vggc.cache import Store
from vggc.cli.main import run
from vggc.data import Dataset
from vggc.data.arrays import ArrayDataset
from vggc.data.loader import loader
from vggc.data.loaders import random as random_data
from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.graph.extras import annotate
from vggc.graph.fingerprint import fingerprint
from vggc.graph.signature import inputs_of
from vggc.passes.quantize import quantize
from vggc.passes.sensitivity import sensitivity
from vggc.quantization import range_cache
from vggc.rewrite import ChangeLog, Context

TEXT = """
<ir_version: 10, opset_import: ["" : 17]>
net (float[N,8,6,6] x) => (float[N,12] y) <float[16,8,3,3] w, float[16] b, float[576,12] u>
{
   a0 = Conv <pads = [1,1,1,1]> (x, w, b)
   a = Relu (a0)
   f = Flatten (a)
   y = MatMul (f, u)
}
"""
KEY = "0" * 64


def model(seed: int = 0) -> onnx.ModelProto:
    made = onnx.parser.parse_model(TEXT)
    generator = np.random.default_rng(seed)
    for each in made.graph.value_info:
        shape = [size.dim_value for size in each.type.tensor_type.shape.dim]
        made.graph.initializer.append(numpy_helper.from_array(generator.standard_normal(shape, np.float32), each.name))
    del made.graph.value_info[:]
    return made


def data(seed: int = 1, name: str = "calib") -> Dataset:
    values = np.random.default_rng(seed).standard_normal((40, 8, 6, 6), np.float32)
    found = ArrayDataset({"x": values}, None, "noise")
    found.name = name
    return found


class Quantized(NamedTuple):
    graph: Graph
    log: ChangeLog


def quantized(source: onnx.ModelProto, samples: Dataset, **options: Any) -> Quantized:
    graph = Graph.from_model(source)
    graph.infer_shapes()
    log = quantize(graph, "int8", data=samples, **options)
    graph.tidy()
    return Quantized(graph, log)


def content(found: Quantized) -> bytes:
    """The model, byte for byte."""
    return found.graph.export(inline_below=1 << 30).model.SerializeToString(deterministic=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, in use."""
    monkeypatch.setenv("VGGC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ranges"


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("calibration", ["output_error", "max", "percentile", "entropy", "mse"])
@pytest.mark.parametrize("placement", ["onnxruntime", "tensorrt"])
def test_the_same_model_bit_for_bit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, calibration: str, placement: str
) -> None:
    options = {"calibration": calibration, "placement": placement}
    first = quantized(model(), data(), **options)
    assert len(entries(folder)) == 1
    assert not first.log.notes

    def observed(*given: object) -> None:
        raise AssertionError("samples were looked at again")

    monkeypatch.setattr("vggc.quantization.value_ranges.observe", observed)
    second = quantized(model(), data(), **options)
    assert len(second.log.notes) == 1
    assert "are those of an earlier run" in second.log.notes[0]
    monkeypatch.undo()
    monkeypatch.setenv("VGGC_CACHE", "off")
    without = quantized(model(), data(), **options)
    assert not without.log.notes
    assert content(first) == content(second) == content(without)
    assert first.log.warnings == second.log.warnings == without.log.warnings
    assert first.log.changes == second.log.changes


@pytest.mark.parametrize(
    ("source", "samples", "options"),
    [
        (model(seed=5), data(), {}),
        (model(), data(seed=5), {}),
        (model(), data(name="other"), {}),
        (model(), data(), {"calibration": "mse"}),
        (model(), data(), {"placement": "tensorrt"}),
        (model(), data(), {"equalize": False}),
        (model(), data(), {"except_": ("y",)}),
    ],
    ids=["weights", "samples", "name", "calibration", "placement", "equalize", "except"],
)
def test_whatever_ranges_depend_on_is_another_entry(
    folder: Path, source: onnx.ModelProto, samples: Dataset, options: dict[str, Any]
) -> None:
    quantized(model(), data())
    assert not quantized(source, samples, **options).log.notes
    assert len(entries(folder)) == 2


def test_another_version_is_another_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quantized(model(), data())
    monkeypatch.setattr(range_cache, "environment", lambda: {"onnxruntime": "another"})
    assert not quantized(model(), data()).log.notes
    assert len(entries(folder)) == 2


def test_warnings_are_given_again(folder: Path) -> None:
    silent = ArrayDataset({"x": np.zeros((40, 8, 6, 6), np.float32)}, None, "nothing")
    first = quantized(model(), silent, equalize=False)
    assert any("is 0 on all samples" in each for each in first.log.warnings)
    second = quantized(model(), silent, equalize=False)
    assert second.log.notes
    assert second.log.warnings == first.log.warnings


def flipped(data: bytes) -> bytes:
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[: len(data) // 2], flipped, lambda data: b"\xff\x00" * 50],
    ids=["empty", "cut", "bit", "noise"],
)
def test_a_damaged_entry_is_made_anew(folder: Path, damage: Any) -> None:
    right = quantized(model(), data())
    (entry,) = entries(folder)
    good = entry.read_bytes()
    entry.write_bytes(damage(good))
    found = quantized(model(), data())
    assert found.log.cache_warnings == [
        f"ranges were computed again: a result of an earlier run cannot be used: "
        f"`{entry}` was damaged and has been removed"
    ]
    assert not found.log.notes
    assert content(found) == content(right)
    assert entry.read_bytes() == good


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda entry: entry["ranges"].popitem(), "another form"),
        (lambda entry: entry.pop("warnings"), "another form"),
        (lambda entry: entry["ranges"].update(x=[float(1), "much"]), "another form"),
        (lambda entry: entry["ranges"].update(x=[-1.0, 0]), "cannot be"),
        (lambda entry: entry["ranges"].update(x=[1.0, 300]), "cannot be"),
    ],
)
def test_an_entry_of_another_form_is_made_anew(folder: Path, change: Any, reason: str) -> None:
    right = quantized(model(), data(), placement="tensorrt")
    (path,) = entries(folder)
    store = Store(folder.parent, 1 << 20)
    entry = store.read_json("ranges", path.name)
    change(entry)
    store.write_json("ranges", path.name, entry)
    found = quantized(model(), data(), placement="tensorrt")
    assert len(found.log.cache_warnings) == 1
    assert reason in found.log.cache_warnings[0]
    assert content(found) == content(right)


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VGGC_CACHE", str(tmp_path / "file"))
    found = quantized(model(), data())
    assert all("cache" in each for each in found.log.cache_warnings)
    assert any(each.startswith("ranges are not kept for the next run") for each in found.log.cache_warnings)
    monkeypatch.setenv("VGGC_CACHE", "off")
    assert content(found) == content(quantized(model(), data()))


class Unknown(Dataset):
    """Samples of which nothing says that they are the same the next time."""

    name = "calib"
    description = "made anew"
    labels = None

    def __init__(self) -> None:
        self._held = data()
        self.arrays = self._held.arrays

    def __len__(self) -> int:
        return len(self._held)

    def parts(self) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        return self._held.parts()


def test_data_made_by_a_program_is_not_kept(folder: Path, tmp_path: Path) -> None:
    @loader
    def streamed(base: Path) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        yield from data().parts()

    for samples in (Unknown(), streamed.load("calib", tmp_path)):
        assert not samples.repeatable
        assert not samples.fit(inputs_of(Graph.from_model(model()))).repeatable
        assert not quantized(model(), samples).log.notes
    assert entries(folder) == []


def test_random_data_are_kept(folder: Path, tmp_path: Path) -> None:
    for notes in (0, 1):
        samples = random_data.load("noise", tmp_path, count=40, seed=3)
        assert len(quantized(model(), samples).log.notes) == notes
    assert not quantized(model(), random_data.load("noise", tmp_path, count=40, seed=4)).log.notes


def test_nan_is_found_and_not_kept(folder: Path) -> None:
    broken = model()
    weights = numpy_helper.to_array(broken.graph.initializer[0]).copy()
    weights[0] = np.inf
    broken.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    for _ in range(2):
        with pytest.raises(CompileError, match="NaN or infinite"):
            quantized(broken, data(), equalize=False, bias_correction=False)
    assert entries(folder) == []


def test_sensitivity_says_so_too(folder: Path) -> None:
    found = []
    for notes in (0, 1):
        graph = Graph.from_model(model())
        graph.infer_shapes()
        log = sensitivity(graph, data=data())
        assert bool(log.notes) == bool(notes)
        found.append(log.sensitivity)
    assert found[0] == found[1]


def test_report_and_terminal_say_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(model(), "net.onnx")
    np.savez("calib.npz", x=next(data().parts())["x"])
    Path("r.opt").write_text('data calib = npz("calib.npz")\n\nquantize(int8, data=calib)\n\ntarget onnx\n')
    models = []
    for again in (False, True):
        assert run(["r.opt", "net.onnx", "-o", "out"]) == 0
        step = json.loads(Path("out/report.json").read_text())["steps"][0]
        told = "note: quantize: ranges of" in " ".join(capsys.readouterr().err.split())
        assert told == bool(step["notes"]) == again
        assert ("are those of an earlier run" in Path("out/report.html").read_text(encoding="utf-8")) == again
        models.append(Path("out/model.onnx").read_bytes())
        # Without the step itself, its ranges are still there; its line is no part of what its graph computes.
        shutil.rmtree(tmp_path / "cache" / "steps")
        Path("r.opt").write_text("# shifted\n" + Path("r.opt").read_text())
    first, second = (onnx.load_model_from_string(each) for each in models)
    for made in (first, second):
        for node in made.graph.node:
            node.ClearField("metadata_props")
    assert first.graph == second.graph


def test_the_context_says_where_the_cache_is(folder: Path, tmp_path: Path) -> None:
    quantized(model(), data(), context=Context(cache=lambda: Store(tmp_path / "mine", 1 << 20)))
    assert len(entries(tmp_path / "mine" / "ranges")) == 1
    quantized(model(), data(), context=Context(cache=lambda: None))
    assert entries(folder) == []


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("VGGC_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    found = quantized(model(), data())
    assert len(found.log.cache_warnings) == 1
    assert "Could not determine home directory" in found.log.cache_warnings[0]


def test_a_fingerprint_is_of_what_is_computed(tmp_path: Path) -> None:
    graph = Graph.from_model(model())
    graph.infer_shapes()
    first = fingerprint(graph)
    assert fingerprint(graph.copy()) == first
    annotate(graph.nodes[0], {"vggc.line": "r.opt:3"})
    assert fingerprint(graph) == first
    graph.save(tmp_path / "net.onnx", external=True)
    stored = Graph.load(tmp_path / "net.onnx")
    stored.infer_shapes()
    assert fingerprint(stored) == first
    weights = np.array(graph.array(graph.nodes[0].inputs[1]))
    weights.flat[-1] = np.nextafter(weights.flat[-1], np.float32(9))
    graph.set_input(graph.nodes[0], 1, graph.constant(weights, "w"))
    graph.tidy()
    graph.nodes[0].inputs[1].name = "w"
    assert fingerprint(graph) != first
    graph = Graph.from_model(model())
    graph.infer_shapes()
    graph.nodes[0].attrs["pads"] = [1, 1, 1, 0]
    assert fingerprint(graph) != first
