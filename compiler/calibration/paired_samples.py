"""Samples for two models at once: the graph at this point of a recipe, and the model as read."""

from __future__ import annotations

from vggc.calibration.samples import Samples
from vggc.data import Dataset
from vggc.diagnostics import Code, fail
from vggc.graph import Graph
from vggc.graph.signature import fixed_batch, inputs_of, shape_text
from vggc.rewrite import Context


def model_as_read(context: Context, step: str) -> Graph:
    """The model as read, with its shapes. Raises CompileError when the context does not have it."""
    if context.original is None:
        raise fail(
            f"{step} needs the model as read, and there is none",
            help=f"in Python: {step}(graph, ..., context=Context(original=lambda: Graph.load(path)))",
            code=Code.INTERFACE,
        )
    original = context.original()
    original.infer_shapes()
    return original


def paired_samples(graph: Graph, original: Graph, data: Dataset, step: str) -> Samples:
    """Batches that both models take. Raises CompileError when their inputs differ."""
    now, then = inputs_of(graph), inputs_of(original)
    for each, before in zip(now, then, strict=False):
        alike = each.shape is None or before.shape is None or len(each.shape) == len(before.shape)
        if each.name != before.name or not alike:
            break
    else:
        sizes = fixed_batch(now), fixed_batch(then)
        if len(now) == len(then) and (None in sizes or sizes[0] == sizes[1]):
            return Samples(graph if sizes[1] is None else original, data)
    raise fail(
        "the inputs differ from those of the model as read, so that the two cannot run on the same samples",
        facts=(
            ("now", ", ".join(f"`{each.name}` {shape_text(each.shape)}" for each in now)),
            ("as read", ", ".join(f"`{each.name}` {shape_text(each.shape)}" for each in then)),
        ),
        help=f"run `{step}` before `set_batch` and `set_input_shapes`",
        code=Code.INTERFACE,
    )
