"""Shapes of all values of a graph, those included that it computes with its own integers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.analysis.shapes.integer_values import IntegerValues
from vggc.analysis.shapes.multiples import Multiple, factors, is_known
from vggc.analysis.shapes.shape_rules import RULES
from vggc.graph import Graph
from vggc.graph.arrays import Array, Dimensions, Size
from vggc.graph.domains import is_standard
from vggc.graph.inference import dimensions, infer_types
from vggc.graph.writer import INVENTED, onnx_type

_VISITS = 200_000
"""Nodes to look at again and again for shapes that computed integers tell; twenty times a graph of 10,000 nodes."""

_BATCH = "batch"
"""The name that a first dimension of an input without a name gets."""


class Shapes:
    """Dimensions of values: a number, a name (equal names are equal dimensions), or None.

    The graph's own shapes are where this begins. Rules find dimensions that inference has invented names for, and what
    they find holds wherever such a name stands. `complete` finds out the rest.
    """

    def __init__(self, graph: Graph, constants: Mapping[str, Array] | None = None) -> None:
        """`constants` are values that are known though nodes compute them, by name."""
        self.graph = graph
        self._constants = dict(constants or {})
        self._shapes: dict[str, Dimensions | None] = {}
        self._names: dict[str, int | str] = {}
        self._facts: dict[str, Dimensions] = {}
        firsts = [value.shape[0] for value in graph.inputs if value.shape]
        self._batches = {_BATCH if _is_unnamed(each) else each for each in firsts if not isinstance(each, int)}
        if self._constants or any(map(_is_unnamed, firsts)):
            self._infer()
        self._follow()

    def complete(self) -> None:
        """Infer all shapes anew from the integers and shapes that are known, for as long as that tells more of them."""
        values = [value for node in self.graph.nodes for value in node.outputs if value.name]
        visits, told = 0, (len(self._constants), dict[str, Dimensions]())
        while visits < _VISITS and not all(_is_whole(self.shape(value)) for value in values):
            for value in values:
                integers = self.integers.known(value)
                if integers is not None and not self.graph.is_output(value):
                    self._constants.setdefault(value.name, np.array(integers, self.graph.dtype(value)))
            if told == (len(self._constants), self._facts):
                return
            told = len(self._constants), dict(self._facts)
            self._infer()
            self._follow()
            visits += len(self.graph.nodes)

    def shape(self, value: gs.Tensor) -> Dimensions | None:
        """Dimensions as far as they are known."""
        shape = self._shapes[value.name] if value.name in self._shapes else self.graph.shape(value)
        return shape and [self._names.get(each, each) if isinstance(each, str) else each for each in shape]

    def array(self, value: gs.Tensor) -> Array | None:
        """The numbers of a value that is constant, or known to be all the same."""
        return self._constants[value.name] if value.name in self._constants else self.graph.array(value)

    def of_one_sample(self, value: gs.Tensor) -> tuple[int | None, ...] | None:
        """Dimensions in numbers when the batch is one sample."""
        shape = self.shape(value)
        return None if shape is None else tuple([self._of_one_sample(each) for each in shape])

    def _of_one_sample(self, dimension: Size) -> int | None:
        if type(dimension) is int:
            return dimension if dimension >= 0 else None
        number, names = (-1, ()) if dimension is None else factors(dimension)
        return number if number >= 0 and self._batches.issuperset(names) else None

    def _follow(self) -> None:
        """Look at the nodes in their order."""
        self.integers = IntegerValues(self.graph, self.shape, self.array)
        self._names = {}
        for node in self.graph.nodes:
            self.integers.visit(node)
            if node.op in RULES and is_standard(node):
                before = self.shape(node.outputs[0])
                shape = None if _is_whole(before) else RULES[node.op](self.integers, node)
                if shape is not None and (before is None or len(before) == len(shape)):
                    self._take(node.outputs[0].name, before or [None] * len(shape), shape)

    def _take(self, name: str, before: Dimensions, shape: Dimensions) -> None:
        """Complete what is known of a value's shape."""
        for old, new in zip(before, shape, strict=True):
            if isinstance(old, str) and not is_known(old) and new is not None and is_known(new):
                self._names[old] = new
        found = self._shapes[name] = [old if is_known(old) else new for old, new in zip(before, shape, strict=True)]
        self._facts[name] = [each if is_known(each) else None for each in found]

    def _infer(self) -> None:
        """Have ONNX infer all shapes anew from what is known."""
        model = self.graph.skeleton(known=False)
        for info in model.graph.input[: len(self.graph.inputs)]:
            sizes = info.type.tensor_type.shape.dim
            if sizes and not sizes[0].HasField("dim_value") and _is_unnamed(sizes[0].dim_param):
                sizes[0].dim_param = _BATCH
        for at in reversed(range(len(model.graph.node))):
            if not self._constants.keys().isdisjoint(model.graph.node[at].output):
                del model.graph.node[at]
        for name, array in self._constants.items():
            whole = np.ascontiguousarray(array).reshape(array.shape)
            model.graph.initializer.append(onnx.numpy_helper.from_array(whole, name))
        values = [value for node in self.graph.nodes for value in node.outputs if value.name]
        outputs = {each.name: each for each in model.graph.output}
        for value in (each for each in values if each.name in self._facts and each.dtype is not None):
            info = outputs[value.name] if value.name in outputs else model.graph.value_info.add()
            kind = onnx_type(value.dtype)
            info.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, self._facts[value.name]))
        types = {each.name: each.type for each in model.graph.input} | infer_types(model)
        # What is stated as the name of a dimension comes back as a text.
        stated = (each for shape in self._facts.values() for each in shape)
        multiples: dict[str, str] = {each: each for each in stated if isinstance(each, Multiple)}
        for value in (*self.graph.inputs, *values):
            shape = dimensions(types[value.name].tensor_type) if value.name in types else None
            self._shapes[value.name] = shape and [
                multiples.get(each, each) if isinstance(each, str) else each for each in shape
            ]
        self._shapes |= {name: list(array.shape) for name, array in self._constants.items()}


def _is_unnamed(size: Size) -> bool:
    """Whether a dimension has neither a number nor a name that its model gives: tf2onnx writes invented names."""
    return not isinstance(size, int) and (not size or size.startswith(INVENTED))


def _is_whole(shape: Dimensions | None) -> bool:
    return shape is not None and all(map(is_known, shape))
