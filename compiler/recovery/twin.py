"""A graph as a function of PyTorch tensors, so that its weights can be trained.

It interprets the graph node by node. No existing converter is used, because onnx2torch (1.5.15) has neither
QuantizeLinear nor DequantizeLinear, needs torchvision, and makes modules whose weights cannot be found in the graph
again. Here every value keeps its name, so that values of two graphs can be compared, and every weight keeps its place,
so that the trained one can be written back.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
import torch

from vggc.execution.array_distance import has_fractions
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.domains import is_standard
from vggc.recovery.operators import OPERATORS, Call
from vggc.recovery.operators.call import Tensor
from vggc.recovery.operators.unsupported import unsupported

Place = tuple[int, int]
"""An input of a node: the id of the node, and the index of the input."""


@dataclass(frozen=True)
class _Step:
    node: gs.Node
    call: Call
    function: Callable[..., Any]
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]


class Twin:
    """A graph as a function from its inputs to any of its values.

    `trained` are the places at which a call gives parameters instead of constants. Nodes that have no function here,
    and all nodes that depend on them, are not computed: `skipped` gives the reason by the id of the node. `computed`
    are the names of the values that are computed.
    """

    def __init__(self, graph: Graph, *, device: Any = "cpu", floats: Any = None, trained: Iterable[Place] = ()) -> None:
        self._device = torch.device(device)
        self._floats = floats or torch.float32
        self._trained = frozenset(trained)
        self._known: dict[str, Any] = {}
        self._steps: list[_Step] = []
        self.skipped: dict[int, str] = {}
        self.inputs = [value.name for value in graph.inputs]
        available = set(self.inputs)
        for node in graph.nodes:
            step = self._step(graph, node)
            reason = self._reason(step, available)
            if reason is not None:
                self.skipped[id(node)] = reason
            elif self._is_constant(step):
                with torch.no_grad():
                    self._known |= self._computed(step, self._known, {})
            else:
                self._steps.append(step)
                available |= set(step.outputs)
        self.computed = available

    def __call__(
        self, feed: Mapping[str, Tensor], wanted: Iterable[str], parameters: Mapping[Place, Tensor] = {}
    ) -> dict[str, Tensor]:
        """The values with the `wanted` names. `parameters` are the tensors for the places that are trained."""
        wanted = set(wanted)
        steps, last = self._plan(wanted)
        values: dict[str, Any] = {**self._known, **feed}
        for index, step in enumerate(steps):
            values |= self._computed(step, values, parameters)
            for name in last.get(index, ()):
                del values[name]
        return {name: values[name] for name in wanted}

    def tensor(self, array: Array) -> Tensor:
        """Numbers as this twin computes with them: floating-point numbers on its device, whole ones on the CPU."""
        return as_tensor(array, self._device, self._floats)

    def _plan(self, wanted: set[str]) -> tuple[list[_Step], dict[int, list[str]]]:
        """The steps that compute what is wanted, and the values that none after a step reads, by its index."""
        needed, steps = set(wanted), list[_Step]()
        for step in reversed(self._steps):
            if needed.intersection(step.outputs):
                steps.append(step)
                needed |= {name for name in step.inputs if name is not None}
        steps.reverse()
        last: dict[str, int] = {}
        for index, step in enumerate(steps):
            last |= dict.fromkeys((name for name in step.inputs if name is not None), index)
            last |= {name: index for name in step.outputs if name not in needed}
        ends: dict[int, list[str]] = {}
        for name, index in last.items():
            if name and name not in wanted and name not in self._known and name not in self.inputs:
                ends.setdefault(index, []).append(name)
        return steps, ends

    def _step(self, graph: Graph, node: gs.Node) -> _Step:
        names: list[str | None] = []
        for index, value in enumerate(node.inputs):
            array = graph.array(value)
            if array is not None and (id(node), index) not in self._trained and value.name not in self._known:
                self._known[value.name] = self.tensor(array)
            # A parameter takes the place of a constant, whose own numbers are not needed then.
            names.append(None if not value.name or (id(node), index) in self._trained else value.name)
        types = tuple(graph.dtype(value) if value.name else None for value in node.inputs)
        call = Call(node.attrs, graph.opset, types, len(node.outputs), self._device, self._floats)
        function = OPERATORS.get(node.op) if is_standard(node) else None
        return _Step(node, call, function or _missing, tuple(names), tuple(value.name for value in node.outputs))

    def _reason(self, step: _Step, available: Container[str]) -> str | None:
        """Why a step cannot be computed from the values that are `available`; None when it can."""
        if step.function is _missing:
            return f"{step.node.op} has no gradient here"
        asked = unsupported(step.node.op, step.call)
        if asked is not None:
            return f"{step.node.op} with {asked} has no gradient here"
        for name in step.inputs:
            if name is not None and name not in available and name not in self._known:
                return f"it reads `{name}`, which is not computed"
        return None

    def _is_constant(self, step: _Step) -> bool:
        """Whether a step reads nothing but constants that are not trained."""
        trained = any((id(step.node), index) in self._trained for index in range(len(step.inputs)))
        return not trained and all(name is None or name in self._known for name in step.inputs)

    @staticmethod
    def _computed(step: _Step, values: Mapping[str, Any], parameters: Mapping[Place, Tensor]) -> dict[str, Any]:
        node = id(step.node)
        inputs = [
            parameters.get((node, index)) if name is None else values[name] for index, name in enumerate(step.inputs)
        ]
        result = step.function(step.call, *inputs)
        results = result if isinstance(result, tuple) else (result,)
        return {name: each for name, each in zip(step.outputs, results, strict=False) if name}


def _missing(call: Call, *inputs: Tensor) -> Any:
    raise NotImplementedError


def as_tensor(array: Array, device: Any, floats: Any) -> Tensor:
    """An array as a tensor of `floats` on a device, of booleans, or of int64 on the CPU."""
    if has_fractions(array.dtype):
        return torch.from_numpy(np.array(array, np.float64)).to(device, floats)
    if array.dtype == np.bool_:
        return torch.from_numpy(np.array(array))
    return torch.from_numpy(np.array(array).astype(np.int64))
