"""Shapes of all values of a graph, those included that it computes with its own integers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.analysis.shapes.integer_values import IntegerValues
from vggc.analysis.shapes.multiples import Dimension, Dimensions, Multiple, factors, is_known
from vggc.analysis.shapes.shape_rules import RULES
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.domains import is_standard
from vggc.graph.inference import dimensions, infer_types
from vggc.graph.writer import onnx_type

_VISITS = 200_000
"""Nodes to look at again and again for shapes that computed integers tell; twenty times a graph of 10,000 nodes."""

_BATCH = "batch"
"""The name of a first dimension of an input that has none."""


class Shapes:
    """Dimensions of values: a number, a name (equal names are equal dimensions), or None.

    The graph's own shapes are where this begins. Rules find dimensions that inference has invented names for, and what
    they find holds wherever such a name stands. `complete` finds out the rest.
    """

    def __init__(self, graph: Graph, constants: Mapping[str, Array] | None = None) -> None:
        """`constants` are values that are known though nodes compute them, by name."""
        self.graph = graph
        self._constants = dict(constants or {})
        self._inferred: dict[str, Dimensions | None] | None = None
        self._found: dict[str, Dimensions] = {}
        self._names: dict[str, int | str] = {}
        self._stated: dict[str, Dimensions] = {}
        firsts = [value.shape[0] for value in graph.inputs if value.shape]
        self._batches = {each or _BATCH for each in firsts if not isinstance(each, int)}
        if self._constants or any(each is None or each == "" for each in firsts):
            self._infer()
        self._follow()

    def complete(self) -> None:
        """Infer all shapes anew from the integers and shapes that are known, for as long as that tells more of them."""
        visits = 0
        while visits < _VISITS and not self._is_complete() and self._learn():
            self._infer()
            self._follow()
            visits += len(self.graph.nodes)

    def shape(self, value: gs.Tensor) -> Dimensions | None:
        """Dimensions as far as they are known."""
        shape = self._found.get(value.name)
        if shape is None:
            shape = self._without_rules(value)
        return shape and [self._names.get(each, each) if isinstance(each, str) else each for each in shape]

    def _without_rules(self, value: gs.Tensor) -> Dimensions | None:
        if value.name in self._constants:
            return list(self._constants[value.name].shape)
        shape = self.graph.shape(value)
        if self._inferred is None or isinstance(value, gs.Constant):
            return shape
        # Names that an earlier inference invented may stand for other dimensions in this one.
        return self._inferred.get(value.name, shape and [each if is_known(each) else None for each in shape])

    def array(self, value: gs.Tensor) -> Array | None:
        """The numbers of a value that is constant, or known to be all the same."""
        return self._constants[value.name] if value.name in self._constants else self.graph.array(value)

    def of_one_sample(self, value: gs.Tensor) -> tuple[int | None, ...] | None:
        """Dimensions in numbers when the batch is one sample."""
        shape = self.shape(value)
        return None if shape is None else tuple(map(self._of_one_sample, shape))

    def _of_one_sample(self, dimension: Dimension) -> int | None:
        number, names = (-1, ()) if dimension is None else factors(dimension)
        return number if number >= 0 and self._batches.issuperset(names) else None

    def _follow(self) -> None:
        """Look at the nodes in their order."""
        self.integers = IntegerValues(self.graph, self.shape, self.array)
        self._names, self._found = {}, {}
        for node in self.graph.nodes:
            self.integers.visit(node)
            rule = RULES.get(node.op)
            if rule is None or not is_standard(node):
                continue
            value = node.outputs[0]
            known = self.shape(value)
            shape = None if known is not None and all(map(is_known, known)) else rule(self.integers, node)
            if shape is not None and (known is None or len(known) == len(shape)):
                self._take(value.name, known or [None] * len(shape), shape)

    def _take(self, name: str, known: Dimensions, shape: Dimensions) -> None:
        """Complete what is known of a value's shape."""
        for old, new in zip(known, shape, strict=True):
            if isinstance(old, str) and not is_known(old) and new is not None and is_known(new):
                self._names[old] = new
        self._found[name] = [old if is_known(old) else new for old, new in zip(known, shape, strict=True)]

    def _is_complete(self) -> bool:
        shapes = [self.shape(value) for node in self.graph.nodes for value in node.outputs if value.name]
        return all(shape is not None and all(map(is_known, shape)) for shape in shapes)

    def _learn(self) -> bool:
        """Whether integers or shapes are known now that inference did not know when it last ran."""
        before = len(self._constants), dict(self._stated)
        for value in (value for node in self.graph.nodes for value in node.outputs):
            integers = self.integers.known(value)
            if integers is not None and not self.graph.is_output(value):
                self._constants.setdefault(value.name, np.array(integers, self.graph.dtype(value)))
            elif value.name in self._found and value.dtype is not None:
                self._stated[value.name] = [each if is_known(each) else None for each in self.shape(value) or ()]
        return before != (len(self._constants), self._stated)

    def _infer(self) -> None:
        """Have ONNX infer all shapes anew from what is known."""
        model = self.graph.skeleton(known=False)
        for value, info in zip(self.graph.inputs, model.graph.input, strict=False):
            if value.shape and value.shape[0] in (None, ""):
                info.type.tensor_type.shape.dim[0].dim_param = _BATCH
        kept = [node for node in model.graph.node if self._constants.keys().isdisjoint(node.output)]
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        for name, array in self._constants.items():
            whole = np.ascontiguousarray(array).reshape(array.shape)
            model.graph.initializer.append(onnx.numpy_helper.from_array(whole, name))
        self._state(model)
        # What is stated as the name of a dimension comes back as a text.
        stated = (each for shape in self._stated.values() for each in shape)
        multiples: dict[str, str] = {each: each for each in stated if isinstance(each, Multiple)}
        types = infer_types(model) | {each.name: each.type for each in model.graph.input}
        self._inferred = {}
        for name, found in types.items():
            shape = dimensions(found.tensor_type)
            self._inferred[name] = shape and [
                multiples.get(each, each) if isinstance(each, str) else each for each in shape
            ]

    def _state(self, model: onnx.ModelProto) -> None:
        """State in a model the shapes that rules found."""
        outputs = {each.name: each for each in model.graph.output}
        for value in (node.outputs[0] for node in self.graph.nodes if node.outputs):
            if value.name not in self._stated:
                continue
            info = onnx.helper.make_tensor_value_info(value.name, onnx_type(value.dtype), self._stated[value.name])
            if value.name in outputs:
                outputs[value.name].CopyFrom(info)
            else:
                model.graph.value_info.append(info)
