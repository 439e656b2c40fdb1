"""What TensorRT accepts in silence and then computes otherwise, or takes and fails on late: refused before the build.

Each rule looks at the whole graph, types and shapes inferred, and yields a message for what it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx_graphsurgeon as gs
from onnx import TensorProto

from vggc.diagnostics import Diagnostic
from vggc.graph import Graph
from vggc.graph.writing import onnx_type
from vggc.targets.engine_messages import TITLES
from vggc.targets.node_names import all_nodes, origin_facts

OLDEST_OPSET = 7
"""The importer warns of older ones ("not guaranteed to work") and refuses their broadcasting node by node."""

NEWEST_OPSET: dict[str, tuple[tuple[tuple[int, int], int], ...]] = {
    # 10.0 and 10.15 by the importer's operator tables, 10.6 by the ONNX release it was built with (1.17), 11.5 by its
    # release notes. The importer itself takes any number without a word.
    "tensorrt": (((10, 0), 20), ((10, 6), 22), ((10, 15), 24), ((11, 5), 25)),
    # Published nowhere, so an estimate from asking 1.7 (`supports_operator`): it has all operators that are new in 23
    # and 24, 25 brings none, and it lacks BitCast and CumProd of 26. Older releases were not asked.
    "tensorrt_rtx": (((1, 0), 25),),
}
"""By flavour, the newest opset of ONNX's own operators that a release and those after it know."""

_FOREIGN_TYPES = (
    TensorProto.INT16,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
    TensorProto.STRING,
    TensorProto.COMPLEX64,
    TensorProto.COMPLEX128,
    TensorProto.UINT4,
    TensorProto.FLOAT8E4M3FNUZ,
    TensorProto.FLOAT8E5M2,
    TensorProto.FLOAT8E5M2FNUZ,
)

REFUSED_TYPES: dict[int, str] = {
    TensorProto.DOUBLE: "TensorRT would compute it in float32 without saying so",
    **dict.fromkeys(map(int, _FOREIGN_TYPES), "TensorRT has no such type"),
}

_PAIRS = "TensorRT takes int8 as QuantizeLinear and DequantizeLinear around float operators"
_INTEGER_OPERATORS = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear")

REFUSED_OPERATORS: dict[str, dict[str, str]] = {
    "tensorrt": dict.fromkeys(_INTEGER_OPERATORS, _PAIRS),
    "tensorrt_rtx": {
        **dict.fromkeys(_INTEGER_OPERATORS, _PAIRS),
        "NonMaxSuppression": "it is imported, but has no implementation to build",
        "NonZero": "its plugin is not part of TensorRT RTX",
    },
}

OLDEST_CAPABILITY: dict[int, int] = {
    TensorProto.BFLOAT16: 80,
    TensorProto.INT4: 80,
    TensorProto.FLOAT8E4M3FN: 89,
    TensorProto.FLOAT4E2M1: 120,
}
"""The first compute capability (8.9 is 89) whose GPUs have a type."""

_LISTED = 5


@dataclass(frozen=True)
class Subject:
    """The graph to be lowered, and for whom: flavour ("tensorrt", "tensorrt_rtx") and its release (1, 7)."""

    graph: Graph
    flavour: str
    release: tuple[int, int]

    @property
    def title(self) -> str:
        return TITLES[self.flavour]


Rule = Callable[[Subject], Iterator[Diagnostic]]


def problems(subject: Subject) -> list[Diagnostic]:
    """Everything the rules refuse in a graph."""
    return [each for rule in RULES for each in rule(subject)]


def newest_opset(flavour: str, release: tuple[int, int]) -> int:
    """The newest opset that a release of a flavour knows; of a release newer than this table, the table's last."""
    known = NEWEST_OPSET[flavour]
    return max((opset for since, opset in known if since <= release), default=known[0][1])


def known_opset(subject: Subject) -> Iterator[Diagnostic]:
    """Any opset number is imported, with the meaning operators had in the ones TensorRT knows."""
    opset = subject.graph.opset
    newest = newest_opset(subject.flavour, subject.release)
    if not OLDEST_OPSET <= opset <= newest:
        release = ".".join(str(each) for each in subject.release)
        yield Diagnostic(
            f"the model is written in opset {opset}, and {subject.title} {release} knows {OLDEST_OPSET} to {newest}",
            help=f"export it again with opset {newest} or older" if opset > newest else "export it again with opset 17",
        )


def declared_ranks(subject: Subject) -> Iterator[Diagnostic]:
    """An input of unknown rank is imported as a single number."""
    for value in subject.graph.inputs:
        if value.shape is None:
            yield Diagnostic(
                f"the input `{value.name}` has no declared number of dimensions; "
                f"{subject.title} would take it for a single number",
                help="export the model with the input's shape",
            )


def known_types(subject: Subject) -> Iterator[Diagnostic]:
    """float64 is computed as float32; other types end the import at the first value that has them."""
    by_type: dict[int, list[str]] = {}
    for value, place in _values(subject.graph):
        number = _type(value)
        if number in REFUSED_TYPES:
            by_type.setdefault(number, []).append(place)
    for number, places in by_type.items():
        name = type_name(number)
        more = len(places) - _LISTED
        facts = [("value", each) for each in places[:_LISTED]] + [("note", f"and {more} more")] * (more > 0)
        yield Diagnostic(
            f"the model computes with {name}: {REFUSED_TYPES[number]}",
            facts=tuple(facts),
            help="cast it to float32 in the model" if number == TensorProto.DOUBLE else "",
        )


def buildable_operators(subject: Subject) -> Iterator[Diagnostic]:
    """Some operators are imported and then have nothing that implements them."""
    refused = REFUSED_OPERATORS[subject.flavour]
    for node in all_nodes(subject.graph):
        if node.op in refused and not _is_foreign(node):
            yield Diagnostic(
                f"{subject.title} cannot build {subject.graph.label(node)}",
                facts=(*origin_facts(node), ("note", refused[node.op])),
            )


def symmetric_quantization(subject: Subject) -> Iterator[Diagnostic]:
    """uint8 becomes int8 and saturates; a scale that is no proper number is taken as it is."""
    for node in all_nodes(subject.graph):
        if node.op in ("QuantizeLinear", "DequantizeLinear") and not _is_foreign(node):
            for problem in _quantization(subject.graph, node):
                yield Diagnostic(
                    f"{subject.title} cannot take {subject.graph.label(node)}: {problem}",
                    facts=origin_facts(node),
                    help="quantize symmetrically to int8: zero point 0 and a positive scale",
                )


RULES: tuple[Rule, ...] = (known_opset, declared_ranks, known_types, buildable_operators, symmetric_quantization)


def oldest_capability(graph: Graph) -> tuple[int, str]:
    """The first compute capability that has all types of the graph (0 for any), and the type that needs it."""
    used = {_type(value) for value, _ in _values(graph)}
    needs = [(capability, type_name(number)) for number, capability in OLDEST_CAPABILITY.items() if number in used]
    return max(needs, default=(0, ""))


def type_name(number: int) -> str:
    """The usual name of an ONNX data type: `float64`, `int8`, `bfloat16`."""
    name = TensorProto.DataType.Name(number).lower()
    return {"double": "float64", "float": "float32"}.get(name, name)


def _quantization(graph: Graph, node: gs.Node) -> Iterator[str]:
    stored = node.outputs[0] if node.op == "QuantizeLinear" else node.inputs[0]
    number = _type(stored)
    if number == TensorProto.UINT8:
        # Also without a zero point: QuantizeLinear's default type is uint8.
        yield "it is uint8, which becomes int8 and saturates above 127"
    elif number == TensorProto.INT32:
        yield "it is int32; leave biases in float"
    scale = graph.array(node.inputs[1])
    if scale is not None and (wrong := _wrong_scale(scale)):
        yield wrong
    zero_point = graph.array(node.inputs[2]) if len(node.inputs) > 2 else None
    if zero_point is not None and np.any(np.asarray(zero_point, np.float32) != 0):
        yield "its zero point is not 0"


def _wrong_scale(scale: np.ndarray) -> str:
    values = np.asarray(scale, np.float64)
    if not np.all(np.isfinite(values)):
        return "its scale is infinite or not a number"
    if np.any(values <= 0):
        return "its scale is not positive"
    smallest = ml_dtypes.finfo(scale.dtype).smallest_normal  # type: ignore[no-untyped-call]
    if np.any(values < float(smallest)):
        return f"its scale is below the smallest normal {scale.dtype}, {float(smallest):.3g}"
    return ""


def _is_foreign(node: gs.Node) -> bool:
    return node.domain not in (None, "", "ai.onnx")


def _type(value: gs.Tensor) -> int:
    return TensorProto.UNDEFINED if value.dtype is None else onnx_type(value.dtype)


def _values(graph: Graph) -> Iterator[tuple[gs.Tensor, str]]:
    """Every value of a graph once, and how to say where it comes from."""
    seen: set[int] = set()

    def new(values: Sequence[gs.Tensor]) -> Iterator[gs.Tensor]:
        for value in values:
            if value.name and id(value) not in seen:
                seen.add(id(value))
                yield value

    for value in new(graph.inputs):
        yield value, f"the input `{value.name}`"
    for node in all_nodes(graph):
        for value in new(node.outputs):
            yield value, f"`{value.name}`, computed by {graph.label(node)}"
        for value in new([each for each in node.inputs if isinstance(each, gs.Constant)]):
            yield value, f"the constant `{value.name}`, read by {graph.label(node)}"
    for value in new(graph.outputs):
        yield value, f"the output `{value.name}`"
