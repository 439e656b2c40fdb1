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

from vggc.graph import Graph
from vggc.graph.arrays import Entries
from vggc.graph.domains import is_standard

_LONGEST = 64
_INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


class ShapeValues:
    """Visits nodes in topological order and remembers what the integer values among their outputs hold."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        # By id, with the value itself: while it is held here, no other object gets its id.
        self._known: dict[int, tuple[gs.Tensor, Entries]] = {}
        self._first: dict[Hashable, gs.Tensor] = {}

    def entries(self, value: gs.Tensor) -> Entries | None:
        """What is known of a value; None when it is no scalar or vector of integers, or nothing is known."""
        if not isinstance(value, gs.Constant):
            return self._known[id(value)][1] if id(value) in self._known else None
        if len(value.shape) > 1 or np.prod(value.shape, dtype=np.int64) > _LONGEST:
            return None
        array = self.graph.array(value)
        if array is None or array.dtype.kind not in "iub":
            return None
        return np.array(array.tolist(), object)

    def known(self, value: gs.Tensor) -> list[int] | int | None:
        """The integers of a value that is no constant of the model but known all the same."""
        entries = self.entries(value) if id(value) in self._known else None
        if entries is None or not all(isinstance(each, int) for each in entries.flat):
            return None
        return entries.tolist()  # type: ignore[no-any-return]

    def visit(self, node: gs.Node) -> None:
        """Find out what a node's output holds."""
        rule = _RULES.get(node.op)
        if rule is None or not is_standard(node) or len(node.outputs) != 1:
            return
        entries = rule(self, node)
        if entries is not None and entries.ndim <= 1 and entries.size <= _LONGEST:
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

    def shape(self, value: gs.Tensor) -> list[int | str | None] | None:
        """Dimensions of a value, by name only where the name is true.

        Two dimensions of one name are equal. Of a graph's outputs that is no more than what its author declared.
        """
        shape = self.graph.shape(value)
        if shape is None or not self.graph.is_output(value):
            return shape
        return [each if isinstance(each, int) else None for each in shape]

    def padded(self, value: gs.Tensor) -> Entries | None:
        """The entries of a vector, all None when only its length is known."""
        entries = self.entries(value)
        if entries is not None:
            return entries
        shape = self.graph.static_shape(value)
        if shape is None or len(shape) > 1 or sum(shape) > _LONGEST:
            return None
        return np.full(shape, None, object)

    def numbers(self, node: gs.Node, index: int, default: Any = None) -> Any:
        """The constant at an input, as a list or a number."""
        if len(node.inputs) <= index or not node.inputs[index].name:
            return default
        array = self.graph.array(node.inputs[index])
        return None if array is None else array.tolist()


def reshape_target(graph: Graph, node: gs.Node, values: ShapeValues) -> list[int] | None:
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
    unknown = [index for index, each in enumerate(entries) if not isinstance(each, int)]
    target = [each if isinstance(each, int) else -1 for each in entries]
    if target.count(-1) > 1:
        for index in unknown:
            if shape is not None and index < len(shape) and isinstance(entries[index], str):
                target[index] = 0 if entries[index] == shape[index] else -1
    return target if target.count(-1) <= 1 else None


def _shape(values: ShapeValues, node: gs.Node) -> Entries | None:
    shape = values.shape(node.inputs[0])
    if shape is None:
        return None
    return np.array(shape, object)[node.attrs.get("start", 0) : node.attrs.get("end")]


def _size(values: ShapeValues, node: gs.Node) -> Entries | None:
    shape = values.graph.static_shape(node.inputs[0])
    return None if shape is None else np.array(int(np.prod(shape, dtype=np.int64)), object)


def _same(values: ShapeValues, node: gs.Node) -> Entries | None:
    return values.entries(node.inputs[0])


def _cast(values: ShapeValues, node: gs.Node) -> Entries | None:
    entries = values.entries(node.inputs[0])
    if entries is None or node.attrs.get("to") not in _INTEGERS:
        return None
    numbers = [each for each in entries.reshape(-1).tolist() if isinstance(each, int)]
    return entries if all(abs(each) < 1 << 31 for each in numbers) else None


def _gather(values: ShapeValues, node: gs.Node) -> Entries | None:
    data, indices = values.entries(node.inputs[0]), values.numbers(node, 1)
    if data is None or data.ndim != 1 or indices is None:
        return None
    places = np.asarray(indices, np.int64)
    if places.ndim > 1 or (places < -data.size).any() or (places >= data.size).any():
        return None
    return np.array(data[places], object)


def _slice(values: ShapeValues, node: gs.Node) -> Entries | None:
    data = values.entries(node.inputs[0])
    if data is None or data.ndim != 1:
        return None
    if values.graph.opset < 10:
        bounds = [node.attrs.get(name) for name in ("starts", "ends")] + [[1]]
    else:
        bounds = [values.numbers(node, 1), values.numbers(node, 2), values.numbers(node, 4, [1])]
    known = [each[0] for each in bounds if each is not None and len(each) == 1]
    if len(known) < len(bounds):
        return None
    start, end, step = known
    # Beyond the front, a negative step ends before index 0, which Python writes as None.
    return data[start : None if step < 0 and end < -data.size else end : step] if step else None


def _concat(values: ShapeValues, node: gs.Node) -> Entries | None:
    parts = [values.padded(value) for value in node.inputs]
    if any(each is None or each.ndim != 1 for each in parts):
        return None
    return np.concatenate([each for each in parts if each is not None])


def _to_vector(values: ShapeValues, node: gs.Node) -> Entries | None:
    entries = values.padded(node.inputs[0])
    return entries.reshape(1) if entries is not None and entries.ndim == 0 else None


def _to_scalar(values: ShapeValues, node: gs.Node) -> Entries | None:
    entries = values.padded(node.inputs[0])
    return entries.reshape(()) if entries is not None and entries.shape == (1,) else None


def _reshape(values: ShapeValues, node: gs.Node) -> Entries | None:
    entries, target = values.padded(node.inputs[0]), values.numbers(node, 1)
    if entries is None or target not in ([], [-1], [entries.size]):
        return None
    return entries.reshape(target) if target or entries.size == 1 else None


def _expand(values: ShapeValues, node: gs.Node) -> Entries | None:
    entries, target = values.entries(node.inputs[0]), values.numbers(node, 1)
    if entries is None or target is None or len(target) > 1 or (target and not 0 < target[0] <= _LONGEST):
        return None
    try:
        return np.array(np.broadcast_to(entries, np.broadcast_shapes(entries.shape, tuple(target))), object)
    except ValueError:
        return None


def _elementwise(combine: Callable[..., Any]) -> Callable[[ShapeValues, gs.Node], Entries | None]:
    def rule(values: ShapeValues, node: gs.Node) -> Entries | None:
        operands = [values.padded(value) for value in node.inputs]
        if any(each is None for each in operands):
            return None
        try:
            return np.array(np.frompyfunc(combine, len(operands), 1)(*operands), object)
        except ValueError:
            return None

    return rule


def _arithmetic(compute: Callable[[int, int], int], neutral: int) -> Callable[[Any, Any], Any]:
    def combine(left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            result = compute(left, right)
            return result if -(1 << 31) < result < 1 << 31 else None
        if right == neutral:
            return left
        return right if left == neutral and compute in (operator.add, operator.mul) else None

    return combine


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


_RULES: dict[str, Callable[[ShapeValues, gs.Node], Entries | None]] = {
    "Shape": _shape,
    "Size": _size,
    "Identity": _same,
    "Cast": _cast,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Unsqueeze": _to_vector,
    "Squeeze": _to_scalar,
    "Reshape": _reshape,
    "Expand": _expand,
    "Add": _elementwise(_arithmetic(operator.add, 0)),
    "Sub": _elementwise(_arithmetic(operator.sub, 0)),
    "Mul": _elementwise(_arithmetic(operator.mul, 1)),
    "Div": _elementwise(_arithmetic(_divide, 1)),
    "Equal": _elementwise(_equal),
    "Where": _elementwise(_where),
}

LIST_OPERATORS = frozenset(_RULES)
"""Operators that compute lists of integers from lists of integers, or from shapes."""
