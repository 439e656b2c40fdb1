"""Export a PyTorch module so that its graph can stand in the place of another one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from vggc.diagnostics import Code, fail
from vggc.graph import Graph
from vggc.graph.signature import inputs_of, outputs_of
from vggc.pytorch.export import export_graph
from vggc.pytorch.inputs import Dynamic, InputSpec, axes, draw, sizes_of
from vggc.pytorch.module import load_module, need_torch

_BATCH = "batch"


def student_graph(factory: str, teacher: Graph, seed: int) -> Graph:
    """The graph of the module that `factory` makes, with the inputs and the names of the outputs of `teacher`.

    Its weights are those that the factory gives, drawn from `seed` when it draws them. Sizes that are open in the
    teacher are open in the first axis alone, the batch. Raises CompileError when the module does not fit.
    """
    torch = need_torch()
    torch.manual_seed(seed)
    module = load_module(factory)
    signature = inputs_of(teacher)
    if any(each.shape is None or not all(isinstance(size, int) for size in each.shape[1:]) for each in signature):
        raise fail(
            "a student needs inputs whose sizes are known, except for the batch",
            help="put `set_input_shapes` in front of `recover`",
            code=Code.RECOVER,
        )
    shapes = [each.shape or () for each in signature]
    is_open = any(not isinstance(shape[0], int) for shape in shapes if shape)
    inputs = tuple(
        InputSpec(each.name, str(each.dtype), tuple(size if isinstance(size, int) else 2 for size in shape))
        for each, shape in zip(signature, shapes, strict=True)
    )
    symbols = axes(inputs, (Dynamic(_BATCH),) if is_open else ())
    example = [torch.from_numpy(each) for each in draw(inputs, symbols, sizes_of(inputs, symbols), seed=0)]
    with tempfile.TemporaryDirectory(prefix="vggc-") as name:
        path = Path(name) / "student.onnx"
        export_graph(module, example, inputs, symbols, Path(name)).save(path)
        graph = Graph.from_model(onnx.load(path))
    _take_names(graph, teacher, factory)
    return graph


def _take_names(graph: Graph, teacher: Graph, factory: str) -> None:
    """Give the outputs the names of the teacher's. Raises CompileError when there are others."""
    ours, theirs = outputs_of(graph), outputs_of(teacher)
    alike = len(ours) == len(theirs) and all(
        one.shape is None or other.shape is None or one.shape[1:] == other.shape[1:]
        for one, other in zip(ours, theirs, strict=True)
    )
    if not alike:
        shown = [", ".join(f"{each.name} {list(each.shape or ())}" for each in some) for some in (ours, theirs)]
        raise fail(
            f"the outputs of `{factory}` are not those of the model as read",
            facts=(("the module's", shown[0]), ("as read", shown[1])),
            code=Code.RECOVER,
        )
    wanted = [value.name for value in teacher.outputs]
    for node in graph.nodes:
        for value in node.outputs:
            if value.name in wanted and value not in graph.outputs:
                value.name = f"student_{value.name}"
    for output, name in zip(graph.outputs, wanted, strict=True):
        output.name = name
    graph.tidy()
    graph.infer_shapes()
