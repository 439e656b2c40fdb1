"""Shapes of all values of a graph, those that it computes with its own integers included.

onnx's shape inference loses a dimension where a graph multiplies or divides it, unless it is a number. So where
something is unknown, shapes are inferred twice more with two different numbers for the batch: what comes out the same
does not depend on the batch, and what comes out as a multiple of it is that multiple.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.writer import INVENTED

Dimensions = list[int | str | None]

_BATCHES = ((10007, 10037, 10061, 10067), (10009, 10039, 10063, 10069))
"""Two primes for each of the first names that a batch has; no dimension is a multiple of one by chance."""

_BROADCAST = frozenset({"Add", "And", "Div", "Equal", "Greater", "Less", "MatMul", "Max", "Min", "Mul", "Or", "PRelu"})
_BROADCAST |= {"Pow", "Sub", "Sum", "Where"}


class Shapes:
    """Dimensions of values by name: a number, a name (equal names are equal dimensions), or None."""

    def __init__(
        self, graph: Graph, constants: Mapping[str, Array], targets: Mapping[str, list[int]], *, thorough: bool
    ) -> None:
        """`constants` are values that are known though nodes compute them, `targets` the shapes that Reshapes make, by
        the name of their result, with 0 and -1 as in ONNX. `thorough` infers for two batches where it must."""
        self._graph = graph
        self._constants = constants
        self._targets = targets
        self._shapes: dict[str, Dimensions] = {}
        firsts = [value.shape[0] for value in graph.inputs if value.shape]
        self._batches = list(dict.fromkeys(each for each in firsts if not isinstance(each, int)))
        self._samples: dict[str, int] = {str(each): 1 for each in self._batches if each}
        if constants or targets:
            self._shapes = dict(self._infer(()))
        if thorough and any(self._is_unknown(value) for node in graph.nodes for value in node.outputs if value.name):
            self._merge(*(self._solved(dict(self._infer(primes))) for primes in _BATCHES))

    def shape(self, value: gs.Tensor) -> Dimensions | None:
        """Dimensions as far as they are known."""
        return self._shapes[value.name] if value.name in self._shapes else self._graph.shape(value)

    def of_one_sample(self, value: gs.Tensor) -> tuple[int | None, ...] | None:
        """Dimensions in numbers when the batch is one sample."""
        shape = self.shape(value)
        if shape is None:
            return None
        return tuple(each if isinstance(each, int) else self._samples.get(each or "") for each in shape)

    def _is_unknown(self, value: gs.Tensor) -> bool:
        shape = self.shape(value)
        return shape is None or any(each is None or (isinstance(each, str) and _is_invented(each)) for each in shape)

    def _infer(self, primes: tuple[int, ...]) -> Iterator[tuple[str, Dimensions]]:
        """Shape inference by onnx, with the given numbers for the batch."""
        model = self._graph.skeleton(known=False)
        kept = [node for node in model.graph.node if not any(name in self._constants for name in node.output)]
        for node in kept:
            target = self._targets.get(node.output[0])
            if target is not None:
                node.input[1] = f"target of {node.output[0]}"
                model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(target, np.int64), node.input[1]))
        for name, array in self._constants.items():
            whole = np.ascontiguousarray(array).reshape(array.shape)
            model.graph.initializer.append(onnx.numpy_helper.from_array(whole, name))
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        numbers = dict(zip(self._batches, primes, strict=False))
        for value, info in zip(self._graph.inputs, model.graph.input, strict=False):
            for index, size in enumerate(value.shape or ()):
                if not isinstance(size, int) and size in numbers and (size or index == 0):
                    info.type.tensor_type.shape.dim[index].dim_value = numbers[size]
        for output in model.graph.output if primes else ():
            # What a model declares of its outputs may name the batch, too.
            output.type.tensor_type.ClearField("shape")
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        for each in (*inferred.input, *inferred.value_info, *inferred.output):
            tensor = each.type.tensor_type
            if tensor.HasField("shape"):
                yield (
                    each.name,
                    [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim],
                )

    def _solved(self, shapes: dict[str, Dimensions]) -> dict[str, Dimensions]:
        """Find more numbers: what goes into a Reshape comes out of it, and operands broadcast to the longer one."""
        numbers: dict[str, int] = {}

        def known(value: gs.Tensor) -> Dimensions | None:
            shape = self._graph.shape(value) if isinstance(value, gs.Constant) else shapes.get(value.name)
            return shape and [numbers.get(each, each) if isinstance(each, str) else each for each in shape]

        for node in self._graph.nodes:
            shape = known(node.outputs[0]) if node.outputs else None
            if shape is None or all(isinstance(each, int) for each in shape):
                continue
            if node.op == "Reshape":
                found = _reshaped(shape, known(node.inputs[0]))
            elif node.op in _BROADCAST:
                found = _broadcast(shape, [known(value) for value in node.inputs], ends=2 if node.op == "MatMul" else 0)
            else:
                continue
            for name, number in zip(shape, found, strict=True):
                if isinstance(name, str) and isinstance(number, int):
                    numbers[name] = number
            shapes[node.outputs[0].name] = found
        return {
            name: [numbers.get(each, each) if isinstance(each, str) else each for each in shape]
            for name, shape in shapes.items()
        }

    def _merge(self, one: dict[str, Dimensions], other: dict[str, Dimensions]) -> None:
        for node in self._graph.nodes:
            for value in node.outputs:
                first, second = one.get(value.name), other.get(value.name)
                if first is None or second is None or len(first) != len(second) or not self._is_unknown(value):
                    continue
                known = self.shape(value) or [None] * len(first)
                if len(known) == len(first):
                    self._shapes[value.name] = [
                        self._dimension(*each) for each in zip(known, first, second, strict=True)
                    ]

    def _dimension(self, known: int | str | None, one: int | str | None, other: int | str | None) -> int | str | None:
        if isinstance(known, int) or (known is not None and not _is_invented(known)):
            return known
        if not isinstance(one, int) or not isinstance(other, int):
            return one if one == other and isinstance(one, str) and not _is_invented(one) else known
        if one == other:
            return one
        for batch, first, second in zip(self._batches, *_BATCHES, strict=False):
            if one % first == 0 and other % second == 0 and one // first == other // second:
                times = one // first
                name = str(batch or "batch") if times == 1 else f"{times} times {batch or 'batch'}"
                self._samples[name] = times
                return name
        return known


def _is_invented(name: str) -> bool:
    return name.startswith(INVENTED)


def _reshaped(shape: Dimensions, source: Dimensions | None) -> Dimensions:
    """The shape of a Reshape's output with the one unknown dimension that follows from its input."""
    numbers = [each for each in source or () if isinstance(each, int)]
    rest = [each for each in shape if isinstance(each, int)]
    if source is None or len(numbers) < len(source) or len(rest) != len(shape) - 1 or not math.prod(rest):
        return shape
    return [each if isinstance(each, int) else math.prod(numbers) // math.prod(rest) for each in shape]


def _broadcast(shape: Dimensions, operands: list[Dimensions | None], *, ends: int) -> Dimensions:
    """The shape of an element-wise result with all that follows from its operands, except for its last axes."""
    result = list(shape)
    for back in range(ends + 1, len(shape) + 1):
        lengths = [each[-back] for each in operands if each is not None and len(each) >= back]
        if None not in operands and all(isinstance(each, int) for each in lengths):
            result[-back] = max(int(each or 0) for each in lengths)
    return result
