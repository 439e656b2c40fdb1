"""Recipes that cannot work for a model, and exactly what `vggc check RECIPE MODEL` shows; `--bless` rewrites it.

The files are in models/ and have the form of tests/errors/test_messages.py, except that vggc's own passes, measures and
targets are used. The model is the net below, whose batch a line `# batch 4` fixes, and
which a line `# quantized` quantizes. Beside the recipe are `calib.npz`,
samples without labels, `test.npz` with labels `y` from 0 to 4, `other.npz` with more labels, `large.npz` with large
numbers, a folder `photos`, and a folder `classes` with three class folders.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image

from vggc.binding import bind
from vggc.binding.modules import import_file
from vggc.data import ArrayDataset
from vggc.diagnostics import CompileError, Diagnostic, render
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.passes.quantize import quantize
from vggc.pipeline.precheck import check_fit

HERE = Path(__file__).parent
messages = import_file(HERE / "test_messages.py")
CASES = [
    case
    for file in sorted(HERE.glob("models/*.txt"))
    for case in messages.cases.read_cases(file, messages.error_case)
]  # fmt: skip

NET = """<ir_version: 8, opset_import: ["" : 17]>
net (float[N,3,8,8] image) => (float[N,5] logits, float[N,16,8,8] features)
    <float[16,3,3,3] w1, float[16] b1, float[16] scale, float[16] shift, float[16] mean, float[16] var,
     float[16,16,3,3] w2, float[5,16] w3, float[5] b3> {
    [features_0] c1 = Conv<pads = [1,1,1,1]>(image, w1, b1)
    [features_1] n1 = BatchNormalization(c1, scale, shift, mean, var)
    [features_2] r1 = Relu(n1)
    [features_3] features = Conv<pads = [1,1,1,1]>(r1, w2)
    [pool] p = GlobalAveragePool(features)
    [flat] f = Flatten(p)
    [head] logits = Gemm<transB = 1>(f, w3, b3)
}"""


def net(batch: str) -> Graph:
    """Two convolutions, a batch norm and a classifier of five classes, for a batch of this size."""
    text = NET.replace("[N,", f"[{batch},")
    model = onnx.parser.parse_model(text)
    made = {name for node in model.graph.node for name in node.output}
    random = np.random.default_rng(0)
    weights = {}
    for info in [each for each in model.graph.value_info if each.name not in made]:
        shape = [dimension.dim_value for dimension in info.type.tensor_type.shape.dim]
        array = np.asarray(random.standard_normal(shape), np.float32)
        weights[info.name] = array
        model.graph.value_info.remove(info)
    # What the batch norm reads on normalized images.
    weights |= {"mean": weights["b1"], "var": np.square(weights["w1"]).sum(axis=(1, 2, 3))}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    graph = Graph.from_model(model)
    graph.infer_shapes(check=True)
    return graph


def write_samples(folder: Path) -> None:
    """Data beside the recipe."""
    random = np.random.default_rng(1)
    samples = random.standard_normal((8, 3, 8, 8)).astype(np.float32)
    np.savez(folder / "calib.npz", image=samples)
    np.savez(folder / "test.npz", image=samples, y=np.array([0, 1, 2, 3, 4, 0, 1, 2]))
    np.savez(folder / "other.npz", image=samples, y=np.array([0, 1, 2, 3, 4, 5, 6, 7]))
    np.savez(folder / "large.npz", image=255 * samples)
    for index in range(8):
        pixels = np.clip(random.normal(110, 60, (8, 8, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{index}.png")
        (folder / "classes" / "abc"[index % 3]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "classes" / "abc"[index % 3] / f"{index}.png")


def checked(recipe: str) -> list[Diagnostic]:
    """What `vggc check` finds: errors, or else warnings."""
    batch = re.search(r"^# batch (\w+)$", recipe, re.MULTILINE)
    try:
        graph = net(batch[1] if batch else "N")
        if "# quantized" in recipe:
            samples = np.random.default_rng(2).standard_normal((32, 3, 8, 8)).astype(np.float32)
            quantize(graph, "int8", data=ArrayDataset({"image": samples}, None, "calib"), calibration="max")
        return list(check_fit(bind(parse(Source("recipe.opt", recipe))), graph))
    except CompileError as error:
        return list(error.diagnostics)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.stem}: {case.title}")
def test_recipes_that_cannot_work(case: Any, bless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case.write_files(tmp_path)
    write_samples(tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = "\n\n".join(render(each, code=True) for each in checked(case.before)) or "nothing"
    if bless and shown != case.expected:
        messages.cases.write_expected(case, shown)
    else:
        assert shown == case.expected
