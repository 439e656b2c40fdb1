"""What the targets for TensorFlow's formats share: the conversion by onnx2tf, and what it would compute otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.diagnostics.packages import ONNX2TF
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.operators.activations import clamp_limits
from vggc.operators.quantizers import is_quantized
from vggc.runtimes.packages import missing
from vggc.targets import runtime_model
from vggc.targets.contract import Lowering


def problems(target: str, names: Sequence[Diagnostic | None]) -> list[Diagnostic]:
    """What is wrong with file names, and that onnx2tf is missing."""
    return [each for each in (*names, missing(f"the target `{target}`", ONNX2TF)) if each]


def check_graph(graph: Graph) -> list[Diagnostic]:
    """Quantized nodes: onnx2tf writes float operators that round like them, which are larger and slower than float."""
    node = next((node for node in graph.nodes if is_quantized(node)), None)
    if node is None:
        return []
    return [
        Diagnostic(
            f"onnx2tf would compute {graph.label(node)} in float32: it does not write integer operators for a model "
            "that is already quantized",
            help="leave out `quantize`, and let TFLite quantize: `target litert(weights=int8, data=NAME)`; or use "
            "`target openvino`",
            code=Code.CONVERSION,
        )
    ]


def converted(lowering: Lowering) -> Path:
    """The folder with the SavedModel of the compiled model, which all targets share."""
    if found := check_graph(lowering.graph):
        raise CompileError(*found)
    folder = lowering.scratch("onnx2tf")
    output = folder / "converted"
    if output.is_dir():
        return output
    # onnx2tf leaves files beside the model that it reads.
    source = folder / "model.onnx"
    with_zero_padding(lowering.graph).save(source)
    names = [each.name for each in inputs_of(lowering.graph) if each.shape is not None and len(each.shape) > 2]
    arguments = {"model": str(source), "output": str(output), "inputs": names}
    runtime_model.convert(ONNX2TF, "onnx2tf_convert:convert", arguments, "TensorFlow")
    return output


def with_zero_padding(graph: Graph) -> Graph:
    """A copy whose max pools do not pad themselves where zeros serve as well: their inputs are never negative.

    onnx2tf pads with the least number of float32 instead. The zeros change no result, because each window holds at
    least one number of the input. But when TFLite quantizes the pool, its scale must reach that least number, and
    all other numbers become the same.
    """
    graph = graph.copy()
    for node in [each for each in graph.nodes if each.op == "MaxPool" and graph.opset >= _PAD_INPUTS]:
        pads = [int(each) for each in node.attrs.get("pads", ())]
        producer = graph.producer(node.inputs[0])
        limits = clamp_limits(graph, producer) if producer else None
        plain = (
            not node.attrs.get("ceil_mode") and len(node.outputs) == 1 and node.attrs.get("auto_pad", "") in _EXPLICIT
        )
        if not any(pads) or limits is None or limits[0] < 0 or not plain:
            continue
        half = len(pads) // 2
        sizes = graph.constant(np.array([0, 0, *pads[:half], 0, 0, *pads[half:]], np.int64), "pads")
        dtype = graph.dtype(node.inputs[0]) or np.dtype(np.float32)
        padded = graph.add("Pad", [node.inputs[0], sizes, graph.constant(np.zeros((), dtype), "zero")])
        graph.set_input(node, 0, padded.outputs[0])
        node.attrs["pads"] = [0] * len(pads)
    return graph


_PAD_INPUTS = 11
"""The opset since which Pad takes its sizes as an input."""

_EXPLICIT = ("", "NOTSET")
