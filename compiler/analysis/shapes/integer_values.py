"""What is known of the integers that a graph computes shapes with, when not all of them are known.

PyTorch and TensorFlow write `x.view(x.shape[0], 256)` as Shape, Gather, Unsqueeze, Concat and Reshape. Of the vector
[batch, 256] that reaches the Reshape all but one entry is known: enough to replace it by the constant [-1, 256].
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.analysis.shapes.multiples import product, quotient, total
from vggc.graph import Graph
from vggc.graph.arrays import Array, Dimensions, Entries, Size
from vggc.graph.domains import is_standard

TO_THE_END = (1 << 31) - 1
"""Exporters write "to the end" of a Slice as the largest int32 or int64."""

_LONGEST = 64
_INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


class IntegerValues:
    """Visits nodes in topological order and remembers what the integer values among their outputs hold.

    `dimensions` and `array` tell the shape of a value and the numbers of a constant one; by default the graph does.
    """

    def __init__(
        self,
        graph: Graph,
        dimensions: Callable[[gs.Tensor], Dimensions | None] | None = None,
        array: Callable[[gs.Tensor], Array | None] | None = None,
    ) -> None:
        self.graph = graph
        self.dimensions = dimensions or graph.shape
        self.array = array or graph.array
        # By id, with the value itself: while it is held here, no other object gets its id.
        self._known: dict[int, tuple[gs.Tensor, Entries]] = {}
        self._first: dict[Hashable, gs.Tensor] = {}

    def entries(self, value: gs.Tensor) -> Entries | None:
        """What is known of a value of integers; None when nothing is known.

        A value of the model's own is a scalar or a vector; one computed from such may be a matrix.
        """
        if id(value) in self._known:
            return self._known[id(value)][1]
        if isinstance(value, gs.Constant) and np.prod(value.shape, dtype=np.int64) > _LONGEST:
            return None
        array = self.array(value)
        if array is None or array.ndim > 1 or array.size > _LONGEST or array.dtype.kind not in "iub":
            return None
        return np.array(array.tolist(), object)

    def known(self, value: gs.Tensor) -> list[int] | int | None:
        """The integers of a value that is no constant of the model but known all the same."""
        entries = self.entries(value) if id(value) in self._known else None
        if entries is None or entries.ndim > 1 or not all(isinstance(each, int) for each in entries.flat):
            return None
        return entries.tolist()  # type: ignore[no-any-return]

    def visit(self, node: gs.Node) -> None:
        """Find out what a node's output holds."""
        rule = _RULES.get(node.op)
        if rule is None or not is_standard(node) or len(node.outputs) != 1:
            return
        entries = rule(self, node)
        if entries is not None and entries.ndim <= 2 and entries.size <= _LONGEST:
            self._known[id(node.outputs[0])] = (node.outputs[0], entries)

    def equal(self, value: gs.Tensor) -> gs.Tensor | None:
        """The first value visited that holds the same numbers as this one, whatever they are; None for itself."""
        dtype = self.graph.dtype(value)
        if id(value) not in self._known or dtype is None:
            return None
        entries = self._known[id(value)][1]
        held = tuple(entries.reshape(-1).tolist())
        if None in held:
            return None
        first = self._first.setdefault((dtype.name, entries.shape, held), value)
        return None if first is value else first

    def shape(self, value: gs.Tensor) -> Dimensions | None:
        """Dimensions of a value, by name only where the name is true.

        Two dimensions of one name are equal. Of a graph's outputs that is no more than what its author declared.
        """
        shape = self.dimensions(value)
        if shape is None or not self.graph.is_output(value):
            return shape
        return [each if isinstance(each, int) else None for each in shape]

    def padded(self, value: gs.Tensor) -> Entries | None:
        """The entries of a vector, all None when only its length is known."""
        entries = self.entries(value)
        if entries is not None:
            return entries
        shape = self.shape(value)
        if shape is None or len(shape) > 1:
            return None
        length = [each for each in shape if isinstance(each, int) and 0 <= each <= _LONGEST]
        return np.full(length, None, object) if len(length) == len(shape) else None

    def listed(self, node: gs.Node, index: int) -> Dimensions | None:
        """What is known of the integers at an input, as a list."""
        entries = self.entries(node.inputs[index]) if len(node.inputs) > index else None
        return None if entries is None else entries.reshape(-1).tolist()

    def slices(self, node: gs.Node) -> list[tuple[int, int, int, int]] | None:
        """Axis, start, end and step of everything that a Slice cuts; None where some of it is computed."""
        if self.graph.opset < 10:
            starts, ends, axes, steps = (node.attrs.get(name) for name in ("starts", "ends", "axes", "steps"))
        else:
            starts, ends = self.numbers(node, 1), self.numbers(node, 2)
            axes, steps = (self.numbers(node, index, []) for index in (3, 4))
            if axes is None or steps is None:
                return None
        if starts is None or ends is None:
            return None
        return list(zip(axes or range(len(starts)), starts, ends, steps or [1] * len(starts), strict=True))

    def numbers(self, node: gs.Node, index: int, default: Any = None) -> Any:
        """The constant at an input, as a list or a number."""
        if len(node.inputs) <= index or not node.inputs[index].name:
            return default
        array = self.array(node.inputs[index])
        return None if array is None else array.tolist()


def reshape_target(graph: Graph, node: gs.Node, values: IntegerValues) -> list[int] | None:
    """The target of a Reshape as a constant, where it is computed but known well enough; else None.

    An entry that is the input's own dimension at its place may be written 0, and one more may be anything: written
    -1, it follows from the number of elements (which is why no other entry may be zero). The target may hold such a -1
    already.
    """
    if node.op != "Reshape" or graph.opset < 5 or isinstance(node.inputs[1], gs.Constant):
        return None
    known, shape = values.entries(node.inputs[1]), values.shape(node.inputs[0])
    entries: list[Any] = [] if known is None else known.tolist()
    if known is None or any(isinstance(each, int) and each <= 0 and each != -1 for each in entries):
        return None
    target = [each if isinstance(each, int) else -1 for each in entries]
    if target.count(-1) > 1 and shape is not None:
        own = [isinstance(each, str) and shape[at : at + 1] == [each] for at, each in enumerate(entries)]
        target = [0 if is_own else each for each, is_own in zip(target, own, strict=True)]
    return target if target.count(-1) <= 1 else None


def _shape(values: IntegerValues, node: gs.Node) -> Entries | None:
    shape = values.shape(node.inputs[0])
    if shape is None:
        return None
    return np.array(shape, object)[node.attrs.get("start", 0) : node.attrs.get("end")]


def _size(values: IntegerValues, node: gs.Node) -> Entries | None:
    shape = values.shape(node.inputs[0])
    elements = None if shape is None else product(shape)
    return None if elements is None else np.array(elements, object)


def _same(values: IntegerValues, node: gs.Node) -> Entries | None:
    return values.entries(node.inputs[0])


def _cast(values: IntegerValues, node: gs.Node) -> Entries | None:
    entries = values.entries(node.inputs[0])
    if entries is None or node.attrs.get("to") not in _INTEGERS:
        return None
    numbers = [each for each in entries.reshape(-1).tolist() if isinstance(each, int)]
    return entries if all(abs(each) < 1 << 31 for each in numbers) else None


def _gather(values: IntegerValues, node: gs.Node) -> Entries | None:
    data, indices = values.entries(node.inputs[0]), values.numbers(node, 1)
    if data is None or data.ndim != 1 or indices is None:
        return None
    places = np.asarray(indices, np.int64)
    if places.ndim > 1 or (places < -data.size).any() or (places >= data.size).any():
        return None
    return np.array(data[places], object)


def _slice(values: IntegerValues, node: gs.Node) -> Entries | None:
    data, slices = values.entries(node.inputs[0]), values.slices(node)
    if data is None or not data.ndim or slices is None or len(slices) != 1:
        return None
    ((axis, start, end, step),) = slices
    if not -data.ndim <= axis < data.ndim or not step:
        return None
    # Beyond the front, a negative step ends before index 0, which Python writes as None.
    places = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[(slice(None),) * (axis % data.ndim) + (places,)]


def _transpose(values: IntegerValues, node: gs.Node) -> Entries | None:
    entries, axes = values.entries(node.inputs[0]), node.attrs.get("perm")
    if entries is None or (axes is not None and sorted(axes) != list(range(entries.ndim))):
        return None
    return entries.transpose(axes)


def _constant_of_shape(values: IntegerValues, node: gs.Node) -> Entries | None:
    given = node.attrs.get("value")
    number = np.float32(0) if given is None else given.values.reshape(-1)[0]
    sizes = values.entries(node.inputs[0])
    if number.dtype.kind != "i" or sizes is None or sizes.ndim != 1:
        return None
    shape = sizes.tolist()
    if not all(isinstance(each, int) and each >= 0 for each in shape) or np.prod(shape, dtype=float) > _LONGEST:
        return None
    return np.full(shape, int(number), object)


def _concat(values: IntegerValues, node: gs.Node) -> Entries | None:
    parts = [values.padded(value) for value in node.inputs]
    if any(each is None or each.ndim != 1 for each in parts):
        return None
    return np.concatenate([each for each in parts if each is not None])


def _reshaped(before: tuple[int, ...], after: tuple[int, ...]) -> Callable[[IntegerValues, gs.Node], Entries | None]:
    def rule(values: IntegerValues, node: gs.Node) -> Entries | None:
        entries = values.padded(node.inputs[0])
        return entries.reshape(after) if entries is not None and entries.shape == before else None

    return rule


def _reshape(values: IntegerValues, node: gs.Node) -> Entries | None:
    entries, target = values.padded(node.inputs[0]), values.numbers(node, 1)
    if entries is None or target is None or any(each == 0 for each in target):
        return None
    try:
        return entries.reshape(target)
    except ValueError:
        return None


def _expand(values: IntegerValues, node: gs.Node) -> Entries | None:
    entries, target = values.entries(node.inputs[0]), values.numbers(node, 1)
    if entries is None or target is None or len(target) > 1 or (target and not 0 < target[0] <= _LONGEST):
        return None
    try:
        return np.array(np.broadcast_to(entries, np.broadcast_shapes(entries.shape, tuple(target))), object)
    except ValueError:
        return None


def _elementwise(combine: Callable[..., Any]) -> Callable[[IntegerValues, gs.Node], Entries | None]:
    def rule(values: IntegerValues, node: gs.Node) -> Entries | None:
        operands = [values.padded(value) for value in node.inputs]
        if any(each is None for each in operands):
            return None
        try:
            return np.array(np.frompyfunc(combine, len(operands), 1)(*operands), object)
        except ValueError:
            return None

    return rule


def _arithmetic(
    compute: Callable[[int, int], int], exactly: Callable[[Size, Size], Size]
) -> Callable[[IntegerValues, gs.Node], Entries | None]:
    """Arithmetic with numbers as int32 has room for, and `exactly` with dimensions that are known by name."""

    def combine(left: Any, right: Any) -> Any:
        if not isinstance(left, int) or not isinstance(right, int):
            return exactly(left, right)
        result = compute(left, right)
        return result if -(1 << 31) < result < 1 << 31 else None

    return _elementwise(combine)


def _divide(left: int, right: int) -> int:
    # ONNX leaves division by zero open; integers are truncated towards zero.
    if right == 0:
        return 1 << 31
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


def _equal(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    if isinstance(left, str) and left == right:
        return True
    # A named dimension may be anything but negative.
    negative = any(isinstance(each, int) and each < 0 for each in (left, right))
    return False if negative and any(isinstance(each, str) for each in (left, right)) else None


def _where(condition: Any, left: Any, right: Any) -> Any:
    if condition is None or isinstance(condition, str):
        return left if left == right else None
    return left if condition else right


_RULES: dict[str, Callable[[IntegerValues, gs.Node], Entries | None]] = {
    "Shape": _shape,
    "Size": _size,
    "Identity": _same,
    "Cast": _cast,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Unsqueeze": _reshaped((), (1,)),
    "Squeeze": _reshaped((1,), ()),
    "Reshape": _reshape,
    "Expand": _expand,
    "Transpose": _transpose,
    "ConstantOfShape": _constant_of_shape,
    "Add": _arithmetic(operator.add, lambda left, right: total([left, right])),
    "Sub": _arithmetic(operator.sub, lambda left, right: left if right == 0 else None),
    "Mul": _arithmetic(operator.mul, lambda left, right: product([left, right])),
    "Div": _arithmetic(_divide, quotient),
    "Equal": _elementwise(_equal),
    "Where": _elementwise(_where),
}

LIST_OPERATORS = frozenset(_RULES) - {"Transpose", "ConstantOfShape"}
"""Operators that compute lists of integers from lists of integers, or from shapes, entry by entry."""
