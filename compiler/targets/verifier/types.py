"""Types and ranks that TensorRT does not support, supports only on newer GPUs, or treats as something else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_graphsurgeon as gs
from onnx import TensorProto

from vggc.diagnostics import Code
from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.graph.writer import onnx_type
from vggc.operators.kernels import NOT_IN_FLOAT32_ON_TURING
from vggc.operators.number_types import FIRST_CAPABILITY
from vggc.targets.node_names import all_nodes
from vggc.targets.verifier.finding import Finding, LoweredGraph, cannot_build

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
    TensorProto.DOUBLE: "TensorRT would compute it in float32 without a warning",
    **dict.fromkeys(map(int, _FOREIGN_TYPES), "TensorRT does not support this type"),
}

_INSTEAD: dict[int, str] = {
    TensorProto.DOUBLE: "cast it to float32 in the model",
    TensorProto.FLOAT8E5M2: "use float8e4m3fn, the 8-bit float that TensorRT supports",
    TensorProto.INT16: "quantize to int8; `target onnxruntime` runs 16-bit activations",
    TensorProto.UINT16: "quantize to int8; `target onnxruntime` runs 16-bit activations",
    TensorProto.UINT4: "use int4, which TensorRT supports for weights",
}

_QUANTIZED = frozenset({TensorProto.FLOAT8E4M3FN, TensorProto.INT4, TensorProto.FLOAT4E2M1})

_TURING = 75
_LISTED = 5


def declared_ranks(subject: LoweredGraph) -> Iterator[Finding]:
    """TensorRT imports an input of unknown rank as a single number."""
    for value in subject.graph.inputs:
        if value.shape is None:
            yield Finding(
                f"the input `{value.name}` has no declared number of dimensions; "
                f"{subject.title} would treat it as a single number",
                f"the input `{value.name}` has no declared number of dimensions: treated as a single number",
                help="export the model with the input's shape",
                code=Code.SHAPES,
            )


def known_types(subject: LoweredGraph) -> Iterator[Finding]:
    """TensorRT computes float64 as float32. Other types end the import at the first value of that type."""
    by_type: dict[int, list[str]] = {}
    for value, source in values_of(subject.graph):
        number = type_of(value)
        if number in REFUSED_TYPES:
            by_type.setdefault(number, []).append(source)
    for number, sources in by_type.items():
        problem = f"{type_name(number)}: {REFUSED_TYPES[number]}"
        yield Finding(
            f"the model computes with {problem}",
            f"{problem} ({sources[0]})",
            facts=_listed(sources),
            help=_INSTEAD.get(number, ""),
            code=Code.UNSUPPORTED_TYPE,
        )


def quantized_casts(subject: LoweredGraph) -> Iterator[Finding]:
    """TensorRT imports a Cast to a quantized type, but builds only values that come from QuantizeLinear."""
    for node in all_nodes(subject.graph):
        if node.op not in ("Cast", "CastLike") or not is_standard(node):
            continue
        for value in (node.outputs[0], node.inputs[0]):
            if type_of(value) in _QUANTIZED and not isinstance(value, gs.Constant):
                quantized = type_name(type_of(value))
                reason = f"only QuantizeLinear may write {quantized}, and only DequantizeLinear may read it"
                yield cannot_build(subject, node, reason, "quantize with a scale instead of casting")


def types_of_capability(subject: LoweredGraph) -> Iterator[Finding]:
    """The build fails when one of the capabilities does not support a type."""
    numbers = [capability_number(each) for each in subject.compute]
    if not numbers:
        return
    oldest, name = oldest_capability(subject.graph)
    if lacking := [each for each in subject.compute if capability_number(each) < oldest]:
        problem = f"{', '.join(lacking)} GPUs do not support {name}, which the model uses"
        yield Finding(problem, problem, help=f"build for {dotted(oldest)} and newer", code=Code.CAPABILITY)
    if _TURING in numbers:
        yield from _float_products(subject)


def _float_products(subject: LoweredGraph) -> Iterator[Finding]:
    for node in all_nodes(subject.graph):
        if node.op in NOT_IN_FLOAT32_ON_TURING and is_standard(node) and type_of(node.outputs[0]) == TensorProto.FLOAT:
            reason = "sm75 GPUs have no float32 matrix product"
            advice = "remove sm75 from compute, or compile the model to float16"
            yield cannot_build(subject, node, reason, advice, behind=" for sm75", code=Code.CAPABILITY)


def oldest_capability(graph: Graph) -> tuple[int, str]:
    """The first compute capability that supports all types of the graph (0: any), and the type that needs it."""
    used = {type_of(value) for value, _ in values_of(graph)}
    needs = [(capability, type_name(number)) for number, capability in FIRST_CAPABILITY.items() if number in used]
    return max(needs, default=(0, ""))


def capability_number(capability: str) -> int:
    """89 for `sm89`"""
    return int(capability.removeprefix("sm"))


def dotted(capability: int) -> str:
    """`8.9` for 89"""
    return f"{capability // 10}.{capability % 10}"


def type_name(number: int) -> str:
    """The usual name of an ONNX data type: `float64`, `int8`, `bfloat16`."""
    name = TensorProto.DataType.Name(number).lower()
    return {"double": "float64", "float": "float32"}.get(name, name)


def type_of(value: gs.Tensor) -> int:
    """The ONNX data type of a value, UNDEFINED where it is not known."""
    return TensorProto.UNDEFINED if value.dtype is None else onnx_type(value.dtype)


def values_of(graph: Graph) -> Iterator[tuple[gs.Tensor, str]]:
    """Every value of a graph once, and a description of where it comes from."""
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


def _listed(sources: Sequence[str]) -> tuple[tuple[str, str], ...]:
    more = len(sources) - _LISTED
    return (*(("value", each) for each in sources[:_LISTED]), *([("note", f"and {more} more")] if more > 0 else []))
