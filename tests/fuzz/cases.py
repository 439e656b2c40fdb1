"""The cases of the fuzzer: damaged files, and the command that reads them."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent))
from mutate import damaged_bytes, damaged_json, damaged_model, damaged_recipe
from nets import problem, whole

ROOT = Path(__file__).parents[2]

DATA_RECIPE = """
data a = npz("d.npz", label="label")
data b = npz("z.npz", inputs={"x": "x"})
data c = npy("d.npy")
simplify
require max_abs_error(a) <= 1 else warn
require max_abs_error(b) <= 1 else warn
require max_abs_error(c) <= 1 else warn
target onnx
"""
RECIPE = "simplify\nfold_batch_norm\ntarget onnx\ntarget onnxruntime\ntarget triton\n"


@dataclass(frozen=True)
class Case:
    """Files by name, and the words of the command that reads them."""

    kind: str
    files: dict[str, bytes]
    words: tuple[str, ...]
    check: Callable[[Path], str] | None = None
    """says what is wrong in the folder after status 0; empty where nothing is"""


def models() -> list[onnx.ModelProto]:
    """Small models of many kinds: convolutions, bodies of If and Loop, quantizers, shape computations, functions."""
    texts: list[tuple[str, dict[str, tuple[list[int], int]]]] = [
        (
            "g (float[N,3,8,8] x) => (float[N,4] y) { c = Conv<pads=[1,1,1,1]>(x, w) "
            "n = BatchNormalization(c, s, s, s, s) r = Relu(n) p = GlobalAveragePool(r) "
            "f = Flatten(p) y = Gemm<transB=1>(f, k) }",
            {"w": ([8, 3, 3, 3], 1), "s": ([8], 1), "k": ([4, 8], 1)},
        ),
        (
            "g (float[N,4] x, bool b) => (float[N,4] y) { y = If(b) <then_branch = t () => (float[N,4] p) "
            "{ p = Relu(x) }, else_branch = e () => (float[N,4] q) { q = Mul(x, k) }> }",
            {"k": ([4], 1)},
        ),
        (
            "g (float[2,4] x) => (float[2,4] y) { h = Shape(x) z = Reshape(x, h) q = QuantizeLinear(z, c, o)"
            " d = DequantizeLinear(q, c, o) a = Slice(d, i, j) y = Softmax(a) }",
            {"c": ([], 1), "o": ([], 3), "i": ([1], 7), "j": ([1], 7)},
        ),
        (
            "g (int64 n, float[3] x) => (float[3] y) { t = Cast<to=9>(n) y = Loop(n, t, x) <body = b"
            " (int64 i, bool c, float[3] v) => (bool c2, float[3] u) { c2 = Identity(c) u = Add(v, x) }> }",
            {},
        ),
        (
            "g (float[N,4] x) => (float[N,4] y) { y = my.f(x) }"
            ' <opset_import: ["": 17], domain: "my"> f (a) => (b) { c = Neg(a) b = Relu(c) }',
            {},
        ),
    ]
    found = []
    for text, constants in texts:
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17, "my": 1]> {text}')
        for name, (dims, kind) in constants.items():
            values = [1 if kind == 1 else 4 * (name == "j")] * math.prod(dims)
            model.graph.initializer.append(onnx.helper.make_tensor(name, kind, dims, values))
        onnx.checker.check_model(model)
        found.append(model)
    return found


def sidecar(folder: Path) -> tuple[str, bytes, bytes]:
    """A real sidecar's text, the model it was built from, and its engine."""
    model = models()[0]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, folder / "net.onnx")
    (folder / "net.opt").write_text("target onnx\ntarget tensorrt_rtx(compute=[sm86])\n")
    # In a process of its own: what is loaded and started here, every case would inherit.
    command = [sys.executable, "-m", "vggc", "net.opt", "net.onnx", "-o", "out"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    names = ("model.engine.json", "model.onnx", "model.engine")
    text, *files = ((folder / "out" / name).read_bytes() for name in names)
    return text.decode(), files[0], files[1]


def _samples() -> dict[str, bytes]:
    """Samples for the first of the models, in each way that a file holds them."""
    x = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    found = {}
    for name, write in (("d.npz", np.savez), ("z.npz", np.savez_compressed)):
        file = io.BytesIO()
        write(file, x=x, label=np.arange(4))
        found[name] = file.getvalue()
    file = io.BytesIO()
    np.save(file, x)
    return {**found, "d.npy": file.getvalue()}


def _data(samples: dict[str, bytes], random: Random) -> dict[str, bytes]:
    """The samples, those of one file damaged."""
    name = random.choice(sorted(samples))
    return {**samples, name: damaged_bytes(samples[name], random)}


def _net(random: Random, *, lossy: bool) -> Case:
    """A random net and a random recipe. What is exact is not checked by vggc itself: it would hide what is wrong."""
    model, samples, recipe = whole(random, lossy=lossy)
    file = io.BytesIO()
    np.savez(file, x=samples)
    files = {"net.opt": recipe.encode(), "model.onnx": model.SerializeToString(), "calib.npz": file.getvalue()}
    words = ("net.opt", "model.onnx", "-o", "out", "--verify", random.choice(("end", "off")))
    return Case("lossy" if lossy else "exact", files, words, partial(problem, lossy=lossy))


def cases(random: Random, only: set[str]) -> Iterator[Case]:
    """Endless cases, of the kinds wanted."""
    recipes = [each.read_text(encoding="utf-8") for each in sorted((ROOT / "recipes").rglob("*.opt"))]
    recipes += [each.read_text(encoding="utf-8") for each in sorted((ROOT / "examples").rglob("*.opt"))]
    for fixture in sorted((ROOT / "tests").rglob("*.txt")):
        _, *fixtures = re.split(r"^=== .*\n", fixture.read_text(encoding="utf-8"), flags=re.MULTILINE)
        recipes += [each.partition("---")[0] for each in fixtures]
    known = models()
    plain = [each.SerializeToString() for each in known]
    samples = _samples()
    with tempfile.TemporaryDirectory() as folder:
        text, built, engine = sidecar(Path(folder)) if only & {"sidecar", "engine"} else ("", b"", b"")
    makers: dict[str, Callable[[], Case]] = {
        "recipe": lambda: Case(
            "recipe",
            {"net.opt": damaged_recipe(random.choice(recipes), recipes, random).encode(errors="surrogatepass")},
            ("check", "net.opt"),
        ),
        "compile": lambda: Case(
            "compile",
            {
                "net.opt": damaged_recipe(RECIPE, recipes, random).encode(errors="surrogatepass"),
                "net.onnx": random.choice(plain),
            },
            ("net.opt", "net.onnx", "-o", "out"),
        ),
        "bytes": lambda: Case(
            "bytes",
            {"net.opt": RECIPE.encode(), "net.onnx": damaged_bytes(random.choice(plain), random)},
            random.choice([("net.opt", "net.onnx", "-o", "out"), ("inspect", "net.onnx")]),
        ),
        "model": lambda: Case(
            "model",
            {"net.opt": RECIPE.encode(), "net.onnx": damaged_model(random.choice(known), random)},
            random.choice([("net.opt", "net.onnx", "-o", "out"), ("inspect", "net.onnx", "--groups")]),
        ),
        "lint": lambda: Case("lint", {"net.onnx": damaged_model(random.choice(known), random)}, ("lint", "net.onnx")),
        "sidecar": lambda: Case(
            "sidecar",
            {"model.engine.json": damaged_json(text, random), "model.onnx": built},
            ("rebuild", "model.engine.json"),
        ),
        "engine": lambda: Case(
            "engine",
            {"model.engine.json": text.encode(), "model.onnx": built, "model.engine": damaged_bytes(engine, random)},
            ("rebuild", "model.engine.json"),
        ),
        "data": lambda: Case(
            "data",
            {"net.opt": DATA_RECIPE.encode(), "net.onnx": plain[0], **_data(samples, random)},
            ("net.opt", "net.onnx", "-o", "out", "--verify", "off"),
        ),
        "exact": lambda: _net(random, lossy=False),
        "lossy": lambda: _net(random, lossy=True),
    }
    kinds = [each for each in makers if each in only]
    while True:
        yield makers[random.choice(kinds)]()
