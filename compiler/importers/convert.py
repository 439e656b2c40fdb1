"""Convert a model to ONNX in the Python that has its framework, and compare both on the same random inputs."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vggc.data.npz import write_npz
from vggc.diagnostics import Code, fail
from vggc.diagnostics.progress import NO_PROGRESS, Progress
from vggc.execution.array_distance import distance
from vggc.execution.batching import run
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Array, Feeds
from vggc.importers.sources import Source
from vggc.operators.quantizers import is_quantized
from vggc.runtimes.packages import need
from vggc.runtimes.process import Raised, call

FLOAT32 = 1e-4
QUANTIZED = 5e-2
"""The largest error of an output, relative to its largest number, in float32 and in a quantized model."""


@dataclass(frozen=True)
class Converted:
    """A conversion: the nodes by operator, the opset, the converter, and the largest error over `runs` runs."""

    nodes: Counter[str]
    opset: int
    converter: str
    runs: int
    error: float
    allowed: float


def convert_source(
    source: Source,
    output: Path,
    *,
    channels_first: bool = True,
    tolerance: float | None = None,
    progress: Progress = NO_PROGRESS,
) -> Converted:
    """Write the ONNX model of a source to `output`, when it computes what the source computes.

    With `channels_first`, images of TensorFlow's models, (N, H, W, C), become (N, C, H, W). Raises CompileError when a
    package is missing, the converter refuses the model, or an output differs by more than `tolerance`.
    """
    need(f"converting a {source.title} model", source.packages)
    if not source.path.exists():
        raise fail(f"there is no model `{source.path}`", code=Code.NO_MODEL)
    with tempfile.TemporaryDirectory(prefix="vggc-") as folder:
        model = Path(folder, "model.onnx")
        progress.begin(f"converting {source.path}")
        arguments = {"output": str(model), "channels_first": channels_first}
        facts = _call(source, "convert", arguments, f"converted `{source.path}`")
        graph = Graph.load(model)
        graph.infer_shapes(check=True)
        allowed = tolerance
        if allowed is None:
            allowed = QUANTIZED if any(map(is_quantized, graph.nodes)) else FLOAT32
        progress.begin(f"comparing with {source.title}")
        session = Session(graph)
        feeds = random_inputs(session)
        errors = [
            _error(_run_source(source, facts, each, Path(folder)), run(session, each), source.title, allowed)
            for each in feeds
        ]
        graph.save(output)
    nodes = Counter(node.op for node in graph.nodes)
    return Converted(nodes, graph.opset, facts["version"], len(feeds), max(errors), allowed)


def _run_source(source: Source, facts: dict[str, Any], feeds: Feeds, folder: Path) -> dict[str, Array]:
    """The outputs of the source, in the layout of the converted model."""
    inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
    write_npz(inputs, feeds)
    arguments = {"facts": facts, "inputs": str(inputs), "outputs": str(outputs)}
    _call(source, "run", arguments, f"ran `{source.path}`")
    with np.load(outputs) as expected:
        return {name: expected[name] for name in expected.files}


def _error(expected: Mapping[str, Array], computed: Mapping[str, Array], title: str, allowed: float) -> float:
    """The largest error of an output. Raises CompileError when it is larger than allowed."""
    worst = 0.0
    for name, values in expected.items():
        found = distance(values, computed[name].astype(values.dtype, copy=False))
        if found.error > allowed:
            raise fail(
                f"the converted model's output `{name}` differs from {title}'s: {found}",
                facts=(("allowed", f"{allowed:g}"),),
                help="allow more with --tolerance, when this error is acceptable",
                code=Code.CONVERSION_DIFFERS,
            )
        worst = max(worst, found.error)
    return worst


def _call(source: Source, function: str, arguments: dict[str, Any], doing: str) -> Any:
    """Call a function of the source's program. Raises CompileError with the converter's words when it fails."""
    given = {"source": str(source.path), "kind": source.kind, **arguments}
    try:
        return call(source.packages, f"{source.program}:{function}", given, doing)
    except Raised as error:
        if error.kind == "Refused":
            raise fail(str(error), help=error.help, code=Code.SOURCE) from None
        lines = error.lines
        raise fail(
            f"`{source.path}` cannot be converted: {lines[-1]}",
            facts=(("exception", error.kind), *((("note", lines[0]),) if len(lines) > 1 else ())),
            code=Code.CONVERSION,
        ) from None
