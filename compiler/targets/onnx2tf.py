"""What the targets for TensorFlow's formats share: the conversion by onnx2tf, and what it would compute otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.diagnostics.packages import ONNX2TF
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
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
    with lowering.model_file() as files:
        source.write_bytes(files[0].path.read_bytes())
        for each in files[1:]:
            (folder / each.path.name).write_bytes(each.path.read_bytes())
    names = [each.name for each in inputs_of(lowering.graph) if each.shape is not None and len(each.shape) > 2]
    arguments = {"model": str(source), "output": str(output), "inputs": names}
    runtime_model.convert(ONNX2TF, "onnx2tf_convert:convert", arguments, "TensorFlow")
    return output
