"""Damage recipes, models and sidecars, and see that each ends in a message: python tests/fuzz/fuzz.py --minutes 10

Every case runs in a process and an empty folder of its own. It is a finding when the exit status is none that is
documented or means a bug in vggc, when it takes too long or too much memory, when text of a traceback is printed, or
when a file appears outside the output folder. Findings are kept, with what was said, in the folder `--keep`;
`test_corpus.py` runs those that were put into `corpus/` ever after.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import onnx

sys.path.insert(0, str(Path(__file__).parent))
from mutate import damaged_bytes, damaged_json, damaged_model, damaged_recipe

import vggc.cli.diagnosis
import vggc.cli.show
import vggc.pipeline
import vggc.targets.rebuilding  # noqa: F401 - loaded once, for all cases
from vggc.cli.main import run
from vggc.registry import shipped

ROOT = Path(__file__).parents[2]
DOCUMENTED = frozenset({0, 1, 2, 3})
SECONDS = 60
MEMORY = 2 << 30
"""Bytes of memory that a case may have taken at its peak, the libraries included."""

ADDRESSES = 16 << 30
"""Bytes of addresses, which onnxruntime and TensorRT reserve far more of than they use."""

RECIPE = "simplify\nfold_batch_norm\ntarget onnx\ntarget onnxruntime\ntarget triton\n"


@dataclass(frozen=True)
class Case:
    """Files by name, and the words of the command that reads them."""

    kind: str
    files: dict[str, bytes]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a case ended; `problem` is empty when it ended as it should."""

    status: int
    seconds: float
    bytes: int
    said: str
    problem: str


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


def sidecar(folder: Path) -> tuple[str, bytes]:
    """A real sidecar's text and the model it was built from."""
    model = models()[0]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, folder / "net.onnx")
    (folder / "net.opt").write_text("target onnx\ntarget tensorrt_rtx(compute=[sm86])\n")
    # In a process of its own: what is loaded and started here, every case would inherit.
    command = [sys.executable, "-m", "vggc", "net.opt", "net.onnx", "-o", "out"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return (folder / "out/model.engine.json").read_text(), (folder / "out/model.onnx").read_bytes()


def load_everything() -> None:
    """Import what commands import when they need it, so that no case has to. Starts no thread: the cases are forks."""
    import onnxruntime
    import onnxsim

    registry = shipped()
    assert onnxruntime and onnxsim and all(map(len, (registry.loaders, registry.measures, registry.targets)))
    assert all(each.doc for each in registry.passes.values())


def cases(random: Random, only: set[str]) -> Iterator[Case]:
    """Endless cases, of the kinds wanted."""
    recipes = [each.read_text(encoding="utf-8") for each in sorted((ROOT / "recipes").rglob("*.opt"))]
    recipes += [each.read_text(encoding="utf-8") for each in sorted((ROOT / "examples").rglob("*.opt"))]
    for fixture in sorted((ROOT / "tests").rglob("*.txt")):
        recipes += [each.split("---")[0] for each in fixture.read_text(encoding="utf-8").split("===")[:40]]
    known = models()
    plain = [each.SerializeToString() for each in known]
    with tempfile.TemporaryDirectory() as folder:
        text, built = sidecar(Path(folder)) if "sidecar" in only else ("", b"")
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
    }
    kinds = [each for each in makers if each in only]
    while True:
        yield makers[random.choice(kinds)]()


def outcome(case: Case) -> Outcome:
    """Run one case."""
    with tempfile.TemporaryDirectory(prefix="vggc-fuzz-") as top:
        folder = Path(top, "work")
        folder.mkdir()
        for name, content in case.files.items():
            (folder / name).write_bytes(content)
        said = Path(top, "said")
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            _be_child(case, folder, said)
        _, status, used = os.wait4(child, 0)
        seconds = time.perf_counter() - started
        code = os.waitstatus_to_exitcode(status)
        text = said.read_text(errors="replace")
        found = sorted(each.relative_to(top).as_posix() for each in Path(top).rglob("*"))
        # A compile that was ended by force leaves its staging folder, which the next one removes.
        allowed = {"work", "said", *(f"work/{name}" for name in case.files)}
        strange = [each for each in found if each not in allowed and not each.startswith(("work/out", "work/build"))]
        peak = used.ru_maxrss * 1024
        return Outcome(code, seconds, peak, text, _problem(code, peak, text, strange))


def _problem(code: int, peak: int, text: str, strange: list[str]) -> str:
    if code == -signal.SIGALRM:
        return f"took more than {SECONDS} s"
    if code not in DOCUMENTED:
        return f"ended with {code}"
    if "Traceback (most recent call last)" in text:
        return "printed a traceback"
    if code == 1 and "error: " not in text:
        return "ended with 1 and no message"
    if peak > MEMORY:
        return f"took {peak >> 20} MiB"
    return f"wrote {strange[0]}" if strange else ""


def _be_child(case: Case, folder: Path, said: Path) -> None:
    os.chdir(folder)
    file = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = 70
    try:
        status = run(list(case.words))
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


def main() -> None:
    """Fuzz for a while; exit status 1 when something was found."""
    kinds = ("recipe", "compile", "bytes", "model", "lint", "sidecar")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"))
    arguments = parser.parse_args()
    load_everything()
    end = time.monotonic() + 60 * arguments.minutes
    ended: Counter[str] = Counter()
    findings: dict[str, int] = {}
    slowest, largest = 0.0, 0
    for number, case in enumerate(cases(Random(arguments.seed), set(arguments.kinds))):
        if time.monotonic() > end:
            break
        result = outcome(case)
        ended[f"{case.kind} {result.status}"] += 1
        slowest, largest = max(slowest, result.seconds), max(largest, result.bytes)
        if result.problem:
            # One of a kind is enough: those that end with the same words are the same.
            key = f"{case.kind}: {result.problem}: {(result.said.strip().splitlines() or [''])[-1][:100]}"
            last = [line for line in result.said.splitlines() if "Error" in line]
            key = f"{case.kind}: {result.problem}: {last[-1][:100]}" if last else key
            key = re.sub(r"vggc-fuzz-\w+", "...", key)
            findings[key] = findings.get(key, 0) + 1
            if findings[key] == 1:
                _keep(arguments.keep / f"{case.kind}-{arguments.seed}-{number}", case, result)
                say(f"FOUND {key}")
    say(f"{sum(ended.values())} cases, slowest {slowest:.1f} s, largest {largest >> 20} MiB")
    for name, count in sorted(ended.items()):
        say(f"  {name:12} {count}")
    say(f"{len(findings)} kinds of findings" + (f", kept in {arguments.keep}" if findings else ""))
    sys.exit(bool(findings))


def say(text: str) -> None:
    """A line for whoever waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _keep(folder: Path, case: Case, result: Outcome) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    (folder / "said").write_text(f"{' '.join(case.words)}\n{result.problem}\n{result.said}")


if __name__ == "__main__":
    main()
