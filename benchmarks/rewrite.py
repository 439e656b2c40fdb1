"""What the rule engine costs as graphs grow: the library's rules and 30 small ones on 20,000 and 100,000 nodes.

    python benchmarks/rewrite.py            # also part of `make bench`

Seconds are those of the rewriting alone, on graphs made in memory, the best of `--rounds`; the ratio of the two sizes
is what must stay linear (5x the nodes, about 5x the time).
"""

from __future__ import annotations

import argparse
import gc
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from models import chain
from rich.console import Console
from rich.table import Table

from vggc.binding import bind
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.rewrite import Context

RULES = 30
SIZES = (20_000, 100_000)


def small_rules() -> str:
    """A recipe of 30 rules, two of which match throughout; the others look at every Relu, Add or Conv in vain."""
    text = [
        "rule drop_identity { Identity(x) => x }",
        "rule fold { BatchNormalization(conv: Conv(x, w), scale, shift, mean, var, epsilon=eps)\\n"
        "  let k = scale / sqrt(var + eps)\\n"
        "  => Conv(x, w * along(k, axis=0, like=w), shift - mean * k) like conv }".replace("\\n", "\n"),
    ]
    for index in range(RULES - 2):
        head = ("Relu(Clip(x, lo, hi))", "Add(Mul(x, c), d)", "Conv(Pad(x, p), w)")[index % 3]
        text.append(f"rule never_{index} {{ {head} where rank(x) == {index + 100} => x }}")
    steps = ", ".join(["drop_identity", "fold", *(f"never_{index}" for index in range(RULES - 2))])
    return "\n".join([*text, "repeat {", *(f"  {each}" for each in steps.split(", ")), "}", "target onnx"]) + "\n"


def seconds(recipe: str, model: Path) -> tuple[float, int]:
    """How long the steps of a recipe take on a model, and how many rewrites they apply."""
    pipeline = bind(parse(Source("bench.opt", recipe)))
    graph = Graph.load(model)
    graph.infer_shapes()
    context = Context()
    gc.collect()
    started = time.perf_counter()
    for step in pipeline.steps():
        step.pass_(graph, **step.options, context=context)
        graph.tidy()
    return time.perf_counter() - started, context.log.total


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    gc.set_threshold(100_000, 50, 100)
    table = Table("rules", *(f"{size:,} nodes" for size in SIZES), "ratio", "rewrites", title="rule engine, seconds")
    recipes = {
        f"{RULES} small rules": small_rules(),
        "the library": 'use "vggc:rules/all.opt"\noptimize\ntarget onnx\n',
    }
    with TemporaryDirectory() as folder:
        models = [chain(Path(folder) / f"{size}.onnx", size) for size in SIZES]
        for name, recipe in recipes.items():
            runs = [min(seconds(recipe, model) for _ in range(arguments.rounds)) for model in models]
            ratio = f"{runs[1][0] / runs[0][0]:.2f}"
            table.add_row(name, *(f"{run[0]:.2f}" for run in runs), ratio, f"{runs[1][1]:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
