"""Fix dynamic dimensions of a model's inputs.

    image: float[batch, 3, height, width]
    set_input_shapes(shapes={"image": ["batch", 3, 640, 640]})
    => image: float[batch, 3, 640, 640]

Only dynamic dimensions can be fixed or named. The results for inputs of these shapes stay the same. Use `set_batch` to
change the batch size of a static model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vggc.analysis.interface import redeclare
from vggc.diagnostics import Code, fail, spelling_help
from vggc.graph import Graph
from vggc.graph.arrays import Size
from vggc.graph.signature import ValueType, inputs_of
from vggc.rewrite import Context, Declined, whole_graph


def _inputs_after(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> tuple[ValueType, ...]:
    changed = _changed_shapes(inputs, options["shapes"])
    return tuple(each._replace(shape=tuple(changed[each.name])) if each.name in changed else each for each in inputs)


@whole_graph(sets_inputs=_inputs_after)
def set_input_shapes(graph: Graph, context: Context, shapes: dict[str, list[int | str]]) -> None:
    """Fix dynamic dimensions of the inputs, or name them.

    Options:
        shapes: the dimensions of each input: a number for a fixed one, a quoted name for one that stays dynamic
    """
    changed = _changed_shapes(inputs_of(graph), shapes)
    if not changed:
        raise Declined("the inputs already have these shapes")
    redeclare(graph, changed)
    context.record("set input shape", len(changed))


def _changed_shapes(inputs: Sequence[ValueType], shapes: Mapping[str, Sequence[int | str]]) -> dict[str, list[Size]]:
    """The new shapes of the inputs that get another one, by name. Raises CompileError for shapes that do not fit."""
    known = {each.name: each.shape for each in inputs}
    for name in shapes:
        if name not in known:
            raise fail(
                f"the model has no input `{name}`", help=spelling_help(name, known, "its inputs"), code=Code.MODEL_INPUT
            )
    chosen: dict[str, Size] = {}
    for name, wanted in shapes.items():
        _choose(name, known[name], wanted, chosen)
    found: dict[str, list[Size]] = {}
    for name, old in known.items():
        if old is None:
            found |= {name: list(shapes[name])} if name in shapes else {}
            continue
        # An unnamed dimension is fixed only where it stands; a named one wherever its name does.
        wants: Sequence[Size] = shapes.get(name, old)
        found[name] = [
            chosen.get(have, have) if isinstance(have, str) else want for have, want in zip(old, wants, strict=True)
        ]
    return {name: shape for name, shape in found.items() if known[name] is None or shape != list(known[name] or ())}


def _choose(name: str, old: Sequence[Size] | None, wanted: Sequence[int | str], chosen: dict[str, Size]) -> None:
    """Note what each named dimension becomes. Raises CompileError where a static dimension would change."""
    for each in wanted:
        if isinstance(each, int) and each < 1:
            raise fail(f"a dimension of `{name}` must be at least 1, not {each}", code=Code.INPUT_SHAPES)
    if old is None:
        return
    if len(old) != len(wanted):
        raise fail(
            f"the input `{name}` has {len(old)} dimensions {list(old)}, but {len(wanted)} are given",
            code=Code.INPUT_SHAPES,
        )
    for axis, (have, want) in enumerate(zip(old, wanted, strict=True)):
        if isinstance(have, int) and have != want:
            raise fail(
                f"dimension {axis} of the input `{name}` is {have} in the model, and cannot become {want}",
                help="export the model with a dynamic dimension"
                + (", or use set_batch for its batch size" if axis == 0 else ""),
                code=Code.INPUT_SHAPES,
            )
        if isinstance(have, str) and chosen.setdefault(have, want) != want:
            raise fail(f"the dimension `{have}` cannot be both {chosen[have]} and {want}", code=Code.INPUT_SHAPES)
