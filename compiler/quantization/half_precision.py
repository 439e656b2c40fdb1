"""16-bit floating point: which nodes can compute in it, and the graph in which they do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.calibration.samples import BATCH_BYTES, Samples
from vggc.calibration.streams import stream
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.domains import is_standard
from vggc.graph.node_order import reads, subgraphs
from vggc.operators.fusion import TENSORRT_EPILOGUE
from vggc.operators.quantizers import QUANTIZERS
from vggc.operators.roles import is_product, optional_input
from vggc.quantization.weights import rows
from vggc.rewrite import Context

FLOAT32 = np.dtype(np.float32)
TYPES: dict[str, np.dtype[Any]] = {"fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
OPSETS = {"fp16": 13, "bf16": 22}
"""The first opset whose convolutions and products take a type."""

_FIXED = frozenset({"Cast", "CastLike", "ConstantOfShape", "EyeLike", "RandomNormal", "RandomUniform", "Range"})
"""Operators whose result has a type of its own, whatever they read."""

_ROOM = 0.5
"""Numbers may be this share of the largest of the type: what was not among the samples may be larger."""

_BESIDE = 16
"""A scale is small beside one that is so many times the smallest that the type can store."""

_CARRIERS = frozenset(
    {"Expand", "Identity", "Pow", "Reciprocal", "Reshape", "Sqrt", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that hand a limit such as an epsilon on to the node that divides by it."""

_DIVIDING = frozenset({"Div", "Log", "Mul"})
"""Operators that a number too small for the type makes NaN or infinite; Mul behind a Reciprocal."""


def vanishing(graph: Graph, dtype: np.dtype[Any]) -> dict[int, str]:
    """The nodes that need a constant which is zero in a 16-bit type, by id, with the reason to leave them in float32.

    They are the nodes that read it, and those that divide by their results: 0 / max(0, 1e-12) is 0 / 0 in float16.
    """
    names: dict[int, str] = {}
    reasons = {}
    for node in graph.nodes:
        lost = next((value.name for value in node.inputs if _vanishes(graph, value, dtype)), None)
        carried = next((names[id(value)] for value in node.inputs if id(value) in names), None)
        if lost is None and (carried is None or node.op not in _CARRIERS | _DIVIDING):
            continue
        name = lost or carried
        assert name is not None
        reasons[id(node)] = f"`{name}` is zero in {dtype.name}"
        if lost or node.op in _CARRIERS:
            names.update((id(value), name) for value in node.outputs)
    return reasons


def _vanishes(graph: Graph, value: gs.Tensor, dtype: np.dtype[Any]) -> bool:
    """Whether a float32 constant has numbers other than zero, and none in a 16-bit type."""
    array = graph.array(value) if graph.dtype(value) == FLOAT32 else None
    if array is None:
        return False
    largest = np.abs(array).max(initial=0.0)
    return bool(largest > 0) and not np.minimum(largest, 1.0).astype(dtype)


def stays(graph: Graph, node: gs.Node, dtype: np.dtype[Any], largest: dict[str, float]) -> str | None:
    """Why a node cannot compute in a 16-bit type; None when it can, empty when it has nothing to compute in it.

    That is so without float32 numbers, and for a Cast between float32 and the type.

    `largest` are the greatest magnitudes of values on samples, by name.
    """
    mine = [value for value in (*node.inputs, *node.outputs) if value.name and graph.dtype(value) == FLOAT32]
    converts = node.op == "Cast" and any(graph.dtype(value) == dtype for value in (*node.inputs, *node.outputs))
    if not mine or converts:
        return ""
    if not is_standard(node) or node.op in _FIXED or any(True for _ in subgraphs(node)):
        return "its operator is left in float32"
    allowed = typed(node, graph.opset, dtype)
    if not all(any(each is value for each in allowed) for value in node.outputs if value.name and value in mine):
        return f"its operator has no {dtype.name} in opset {graph.opset}"
    if not any(graph.dtype(value) == FLOAT32 for value in allowed if any(value is each for each in node.inputs)):
        return "its operator is left in float32"
    limit = _ROOM * float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
    for value in mine:
        array = graph.array(value)
        reach = largest.get(value.name, 0.0) if array is None else float(np.abs(array).max(initial=0.0))
        if not reach <= limit:
            return f"`{value.name}` reaches {reach:.3g}, and {dtype.name} ends at {limit / _ROOM:.3g}"
    if node.op in QUANTIZERS:
        scale = graph.array(node.inputs[1])
        if scale is None or float(np.min(np.asarray(scale, np.float64))) < _smallest_normal(dtype):
            return f"its scale is too small for {dtype.name}"
    return None


def _smallest_normal(dtype: np.dtype[Any]) -> float:
    return float(ml_dtypes.finfo(dtype).smallest_normal)  # type: ignore[no-untyped-call]


def raise_scales(graph: Graph, node: gs.Node, dtype: np.dtype[Any]) -> bool:
    """Write the weights of a DequantizeLinear with scales that a 16-bit type can store; whether any was too small.

    Only channels whose numbers are 0, or small beside those of another channel: the rounding that this costs them is
    far below that of the other. All scales of a node decide together, because one that stays in float32 takes the
    node that reads the weights out of its integer kernel.
    """
    codes, scale = graph.array(node.inputs[0]), graph.array(node.inputs[1])
    zero_point = optional_input(node, 2)
    offset = None if zero_point is None else graph.array(zero_point)
    if (
        codes is None
        or scale is None
        or scale.ndim != 1
        or (zero_point is not None and (offset is None or offset.any()))
    ):
        return False
    smallest, axis = _smallest_normal(dtype), int(node.attrs.get("axis", 1))
    steps, numbers = np.asarray(scale, np.float64), rows(codes, axis)
    small = steps < smallest
    is_beside_large = codes.dtype == np.int8 and float(steps.max()) >= _BESIDE * smallest
    if not small.any() or (not is_beside_large and numbers[small].any()):
        return False
    raised = np.maximum(steps, smallest)
    shape = [-1 if at == axis else 1 for at in range(codes.ndim)]
    changed = np.rint(codes * np.where(small, steps / raised, 1.0).reshape(shape)).astype(codes.dtype)
    graph.set_input(node, 0, graph.constant(changed, node.inputs[0].name))
    graph.set_input(node, 1, graph.constant(raised.astype(scale.dtype), node.inputs[1].name))
    return True


def typed(node: gs.Node, opset: int, dtype: np.dtype[Any]) -> list[gs.Tensor]:
    """The values of a node that may have a type by its operator's definition, and vary with it."""
    schema = onnx.defs.get_schema(node.op, opset)
    name = f"tensor({dtype.name})"
    able = {each.type_param_str for each in schema.type_constraints if name in each.allowed_type_strs}
    found = []
    for values, formal in ((node.inputs, schema.inputs), (node.outputs, schema.outputs)):
        for index, value in enumerate(values):
            if formal and value.name and formal[min(index, len(formal) - 1)].type_str in able:
                found.append(value)
    return found


def magnitudes(graph: Graph, samples: Samples) -> dict[str, float]:
    """The greatest magnitude of each float32 value on samples. Raises CompileError for NaN and infinite numbers."""
    values = [value for node in graph.nodes for value in node.outputs if value.name and graph.dtype(value) == FLOAT32]
    values += [value for value in graph.inputs if graph.dtype(value) == FLOAT32]
    if any(_size_is_unknown(graph, value) for value in values):
        # Samples choose the size of a batch by shapes, which say too little here. All these values are held at a time.
        one = next(stream(graph, values, samples.in_batches_of(1)))
        samples = samples.in_batches_of(max(1, BATCH_BYTES // max(1, sum(array.nbytes for array in one.values()))))
    found: dict[str, float] = {}
    for batch in stream(graph, values, samples):
        for name, array in batch.items():
            found[name] = max(found.get(name, 0.0), float(np.abs(array).max(initial=0.0)))
    return found


def _size_is_unknown(graph: Graph, value: gs.Tensor) -> bool:
    """Whether the shape of a value leaves the numbers of one sample open."""
    shape = graph.shape(value)
    return shape is None or not all(isinstance(size, int) for size in shape[1:])


def halve_products(graph: Graph, context: Context, names: Collection[str], largest: dict[str, float]) -> frozenset[str]:
    """Rewrite the products that compute the values `names` to float16, each with the activations in its kernel.

    A product whose numbers do not fit stays in float32, and is declined with the reason. `largest` are the greatest
    magnitudes of values on samples, by name. Returns the names of those rewritten.
    """
    half, needed = TYPES["fp16"], vanishing(graph, TYPES["fp16"])

    def reason(node: gs.Node) -> str | None:
        found = stays(graph, node, half, largest)
        return needed.get(id(node)) if found is None else found

    chosen: list[gs.Node] = []
    done = set()
    for node in graph.nodes:
        if not is_product(node) or node.outputs[0].name not in names:
            continue
        if why := reason(node):
            context.decline(node, f"it stays in float32: {why}")
            continue
        done.add(node.outputs[0].name)
        follower: gs.Node | None = node
        while follower is not None and reason(follower) is None:
            chosen.append(follower)
            follower = graph.only_reader(follower.outputs[0])
            if follower is not None and follower.op not in TENSORRT_EPILOGUE:
                break
    Halves(graph, half, chosen, interface=False).rewrite()
    return frozenset(done)


class Halves:
    """Rewrites chosen nodes to a 16-bit type, with a Cast wherever a value crosses between them and the others."""

    def __init__(self, graph: Graph, dtype: np.dtype[Any], chosen: Iterable[gs.Node], *, interface: bool) -> None:
        self.graph = graph
        self.dtype = dtype
        self.chosen = {id(node) for node in chosen}
        self.interface = interface
        self.lost = 0
        self.weights = 0
        self._half: dict[int, gs.Tensor] = {}
        self._full: dict[int, gs.Tensor] = {}

    def rewrite(self) -> None:
        graph = self.graph
        nodes = list(graph.nodes)
        taking = {id(node): typed(node, graph.opset, self.dtype) for node in nodes if id(node) in self.chosen}
        for given in graph.inputs:
            if self.interface and graph.dtype(given) == FLOAT32:
                given.dtype = self.dtype
                self._half[id(given)] = given
        for node in nodes:
            if is_standard(node) and node.op == "Cast":
                self._existing_cast(node)
            if id(node) in self.chosen:
                self._outputs(node)
        for node in nodes:
            for index, value in enumerate(list(node.inputs)):
                known = id(value) in self._half or graph.dtype(value) == FLOAT32
                if not value.name or not known:
                    continue
                low = id(node) in taking and any(value is each for each in taking[id(node)])
                wanted = self._as_half(value) if low else self._as_full(value)
                if wanted is not value:
                    graph.set_input(node, index, wanted)
            for value in reads(node):
                if id(value) in self._half and any(True for _ in subgraphs(node)):
                    self._as_full(value)
        for value in graph.outputs:
            if not self.interface:
                self._as_full(value)

    def _existing_cast(self, node: gs.Node) -> None:
        """Have a value of the 16-bit type, which the graph casts to float32, serve where that is read in 16 bits.

        So a value does not go through float32 on its way from one 16-bit node to another.
        """
        given, result = node.inputs[0], node.outputs[0]
        if self.graph.dtype(given) == self.dtype and self.graph.dtype(result) == FLOAT32:
            self._half[id(result)] = given
        elif self.graph.dtype(result) == self.dtype and id(given) in self._half:
            self.graph.replace(result, self._half[id(given)])

    def _outputs(self, node: gs.Node) -> None:
        graph = self.graph
        for index, value in enumerate(node.outputs):
            if not value.name or graph.dtype(value) != FLOAT32:
                continue
            if self.interface and graph.is_output(value):
                value.dtype = self.dtype
                self._half[id(value)] = value
                continue
            half = gs.Variable(graph.fresh_name(f"{value.name}_{self.dtype.name}"), self.dtype, value.shape)
            graph.set_output(node, index, half)
            self._half[id(value)] = half

    def _as_half(self, value: gs.Tensor) -> gs.Tensor:
        if id(value) not in self._half:
            array = self.graph.array(value)
            if array is not None:
                self._half[id(value)] = self._constant(value, array)
            else:
                self._half[id(value)] = self._cast(value, self.dtype, f"{value.name}_{self.dtype.name}")
        return self._half[id(value)]

    def _as_full(self, value: gs.Tensor) -> gs.Tensor:
        half = self._half.get(id(value))
        if half is None or not isinstance(value, gs.Variable) or (half is not value and value.inputs):
            return value
        if id(value) not in self._full:
            if half is value:
                self._full[id(value)] = self._cast(value, FLOAT32, f"{value.name}_float32")
            elif any(value is each for each in self.graph.inputs):
                self._full[id(value)] = value
            else:
                number = int(onnx.helper.np_dtype_to_tensor_dtype(FLOAT32))
                self.graph.add("Cast", [half], {"to": number}, name=f"{value.name}_cast", output=value)
                self._full[id(value)] = value
        return self._full[id(value)]

    def _cast(self, value: gs.Tensor, dtype: np.dtype[Any], name: str) -> gs.Variable:
        found = gs.Variable(self.graph.fresh_name(name), dtype, value.shape)
        number = int(onnx.helper.np_dtype_to_tensor_dtype(dtype))
        self.graph.add("Cast", [value], {"to": number}, name=f"{value.name}_cast", output=found)
        return found

    def _constant(self, value: gs.Tensor, array: Array) -> gs.Constant:
        rounded = np.asarray(array).astype(self.dtype)
        self.lost += int(np.count_nonzero(array) - np.count_nonzero(rounded))
        self.weights += int(np.count_nonzero(array))
        return self.graph.constant(rounded, f"{value.name}_{self.dtype.name}")
