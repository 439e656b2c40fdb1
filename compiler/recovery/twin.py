"""A graph as a function of PyTorch tensors, so that its weights can be trained.

It interprets the graph node by node. No existing converter is used, because onnx2torch (1.5.15) has neither
QuantizeLinear nor DequantizeLinear, needs torchvision, and makes modules whose weights cannot be found in the graph
again. Here every value keeps its name, so that values of two graphs can be compared, and every weight keeps its place,
so that the trained one can be written back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
import torch

from vggc.execution.array_distance import has_fractions
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.domains import is_standard
from vggc.recovery.operators import OPERATORS, Call, norms
from vggc.recovery.operators.call import Tensor
from vggc.recovery.operators.unsupported import unsupported
from vggc.recovery.settings import Floats

Place = tuple[int, int]
"""An input of a node: the id of the node, and the index of the input."""


@dataclass(frozen=True)
class _Step:
    node: gs.Node
    call: Call
    function: Callable[..., Any]
    inputs: tuple[str | None, ...]
    """their names; None for those that are left out, and for parameters"""
    places: tuple[Place, ...]
    outputs: tuple[str, ...]


class Twin:
    """A graph as a function from its inputs to any of its values.

    `trained` are the places at which a call gives parameters instead of constants. Nodes that have no function here,
    and all nodes that depend on them, are not computed: `skipped` gives the reason by the id of the node. `computed`
    are the names of the values that are computed.
    """

    def __init__(
        self, graph: Graph, *, device: Any = "cpu", floats: Floats = "float32", trained: Iterable[Place] = ()
    ) -> None:
        self._device = torch.device(device)
        self._floats = getattr(torch, floats)
        self._trained = frozenset(trained)
        self._known: dict[str, Any] = {}
        self._steps: list[_Step] = []
        self._plans: dict[tuple[frozenset[str], bool], tuple[list[_Step], dict[int, list[str]]]] = {}
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
                    self._known |= self._computed(step, self._known, {}, step.function)
            else:
                self._steps.append(step)
                available |= set(step.outputs)
        self.computed = available

    def __call__(
        self,
        feed: Mapping[str, Tensor],
        wanted: Iterable[str],
        parameters: Mapping[Place, Tensor] = {},
        norm: Callable[..., Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """The values with the `wanted` names. `parameters` are the tensors for the places that are trained.

        `norm` computes batch norms in place of the operator's own function, which uses the statistics of the model.
        """
        wanted = frozenset(wanted)
        key = wanted, norm is None
        if key not in self._plans:
            self._plans[key] = self._plan(wanted, joined=norm is None)
        steps, last = self._plans[key]
        values: dict[str, Any] = {**self._known, **feed}
        for index, step in enumerate(steps):
            function = norm if norm is not None and step.node.op == "BatchNormalization" else step.function
            values |= self._computed(step, values, parameters, function)
            for name in last.get(index, ()):
                del values[name]
        return {name: values[name] for name in wanted}

    def tensor(self, array: Array) -> Tensor:
        """Numbers as this twin computes with them: floating-point numbers on its device, whole ones on the CPU.

        Those of four axes have their channels last in memory, which convolutions on CPUs are faster with.
        """
        tensor = as_tensor(array, self._device, self._floats)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor

    def _plan(self, wanted: frozenset[str], *, joined: bool) -> tuple[list[_Step], dict[int, list[str]]]:
        """The steps that compute what is wanted, and the values that none after a step reads, by its index.

        `joined` computes a convolution and the batch norm behind it at once.
        """
        needed, steps = set(wanted), list[_Step]()
        for step in reversed(self._steps):
            if needed.intersection(step.outputs):
                steps.append(step)
                needed |= {name for name in step.inputs if name is not None}
        steps.reverse()
        if joined:
            steps = _joined(steps, wanted)
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
        places = tuple((id(node), index) for index in range(len(names)))
        outputs = tuple(value.name for value in node.outputs)
        return _Step(node, call, function or _missing, tuple(names), places, outputs)

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
    def _computed(
        step: _Step, values: Mapping[str, Any], parameters: Mapping[Place, Tensor], function: Callable[..., Any]
    ) -> dict[str, Any]:
        inputs = [
            parameters.get(place) if name is None else values[name]
            for name, place in zip(step.inputs, step.places, strict=True)
        ]
        result = function(step.call, *inputs)
        results = result if isinstance(result, tuple) else (result,)
        return {name: each for name, each in zip(step.outputs, results, strict=False) if name}


def _joined(steps: list[_Step], wanted: Container[str]) -> list[_Step]:
    """Steps with each convolution and the batch norm behind it as one, when nothing else reads its result."""
    readers = Counter(name for step in steps for name in step.inputs)
    convolutions = {
        step.outputs[0]: step
        for step in steps
        if step.node.op == "Conv" and readers[step.outputs[0]] == 1 and step.outputs[0] not in wanted
    }
    found, taken = list[_Step](), set[str]()
    for step in steps:
        first = convolutions.get(step.inputs[0] or "") if step.node.op == "BatchNormalization" else None
        if first is not None:
            taken.add(first.outputs[0])
            joined = replace(
                step,
                call=first.call,
                function=partial(norms.normalized_convolution, step.call),
                inputs=(*step.inputs[1:5], *first.inputs),
                places=(*step.places[1:5], *first.places),
            )
            found.append(joined)
        else:
            found.append(step)
    return [step for step in found if step.outputs[0] not in taken]


def _missing(call: Call, *inputs: Tensor) -> Any:
    raise NotImplementedError


def as_tensor(array: Array, device: Any, floats: Any) -> Tensor:
    """An array as a tensor of `floats` on a device, of booleans, or of int64 on the CPU."""
    if has_fractions(array.dtype):
        return torch.from_numpy(np.array(array, np.float64)).to(device, floats)
    if array.dtype == np.bool_:
        return torch.from_numpy(np.array(array))
    return torch.from_numpy(np.array(array).astype(np.int64))
