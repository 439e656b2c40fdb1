"""The table of operators that onnxruntime has no kernels for, held against the onnxruntime that is installed.

`--bless` adds what the installed release lacks to compiler/operators/onnxruntime_kernels.py. It takes nothing out: the
table is for every release that pyproject.toml allows. To make it anew, empty it, and bless with the oldest and the
newest release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import TensorProto, helper

from vggc.binding import bind
from vggc.diagnostics.source import Source
from vggc.grammar import pattern_syntax
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.operators.kernels import without_kernel
from vggc.operators.onnxruntime_kernels import MISSING
from vggc.pattern.operators import OLDEST
from vggc.rewrite import Context, Rule, run_rules

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "compiler" / "operators" / "onnxruntime_kernels.py"
TYPES = {
    "float": "float32",
    "double": "float64",
    **{name: name for name in ("float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool")},
}
"""The element types asked for, as ONNX's schemas and as numpy call them."""

ATTRIBUTES: dict[int, Any] = {
    onnx.AttributeProto.INT: 1,
    onnx.AttributeProto.INTS: [1],
    onnx.AttributeProto.FLOAT: 1.0,
    onnx.AttributeProto.FLOATS: [1.0],
    onnx.AttributeProto.STRING: "x",
}
Missing = dict[str, dict[str, list[int]]]
"""By operator and numpy type: the opsets at which onnxruntime has no kernel."""


def one_node(schema: onnx.defs.OpSchema, opset: int, kind: str) -> onnx.ModelProto | None:
    """A model of one node whose first input has the type `kind`; None where the operator does not take it.

    Ranks and shapes are unknown, so that only types decide.
    """
    allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}
    required = [each for each in schema.inputs if each.option.name != "Optional"]
    if not required:
        return None
    chosen: dict[str, str] = {}
    for formal in required:
        wanted = [f"tensor({kind})", *(["tensor(float)", "tensor(int64)", "tensor(bool)"] if chosen else [])]
        types = allowed.get(formal.type_str, [formal.type_str])
        found = next((each for each in wanted if each in types), None)
        if found is None:
            return None
        chosen.setdefault(formal.type_str, found)
    elements = [TensorProto.DataType.Value(chosen[each.type_str][7:-1].upper()) for each in required]
    inputs = [helper.make_tensor_value_info(f"x{at}", each, None) for at, each in enumerate(elements)]
    outputs = [f"y{at}" for at, each in enumerate(schema.outputs) if each.option.name != "Optional"]
    needed = {name: each.type for name, each in schema.attributes.items() if each.required}
    if not needed.keys() <= {name for name, each in needed.items() if each in ATTRIBUTES}:
        return None
    attributes = {name: ATTRIBUTES[each] for name, each in needed.items()}
    node = helper.make_node(schema.name, [each.name for each in inputs], outputs, **attributes)
    results = [onnx.ValueInfoProto(name=each) for each in outputs]
    graph = helper.make_graph([node], schema.name, inputs, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def is_missing(model: onnx.ModelProto) -> bool:
    """Whether onnxruntime refuses a model for want of a kernel."""
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's classes have no common base
        return "find an implementation" in str(error) or "Failed to find kernel" in str(error)
    return False


def ask(operators: set[str]) -> Missing:
    """What the installed onnxruntime has no kernels for, at every opset that it and the onnx package know."""
    found: Missing = {}
    for name in sorted(operators):
        for opset in range(OLDEST, onnx.defs.onnx_opset_version() + 1):
            try:
                schema = onnx.defs.get_schema(name, opset, "")
            except onnx.defs.SchemaError:
                continue
            for kind, numpy_name in TYPES.items():
                model = None if schema.deprecated else one_node(schema, opset, kind)
                if model is not None and is_missing(model):
                    found.setdefault(name, {}).setdefault(numpy_name, []).append(opset)
    return found


def standard_operators() -> set[str]:
    return {each.name for each in onnx.defs.get_all_schemas() if not each.domain}


def made_by_the_library() -> set[str]:
    """The operators of ONNX's own domain that the shipped rules make."""
    rules = [rule for path in (ROOT / "recipes" / "rules").glob("*.opt") for rule in rules_of(path)]
    results = [each for rule in rules if rule.body is not None for each in rule.body.results]
    return {each.operator.name for result in results for each in constructs(result) if not each.operator.domain}


def rules_of(path: Path) -> Sequence[Rule]:
    # A recipe of declarations alone does nothing, and is refused.
    return bind(parse(Source(str(path), f"{path.read_text(encoding='utf-8')}\nsimplify\n"))).rules


def constructs(result: object) -> Iterator[pattern_syntax.Construct]:
    if isinstance(result, pattern_syntax.Construct):
        yield result
        for each in result.inputs:
            yield from constructs(each)


def spans(opsets: set[int]) -> tuple[tuple[int, int], ...]:
    """Opsets as ranges, the last of them open where it reaches the newest."""
    ranges: list[list[int]] = []
    for opset in sorted(opsets):
        if ranges and opset == ranges[-1][1] + 1:
            ranges[-1][1] = opset
        else:
            ranges.append([opset, opset])
    return tuple((first, last) for first, last in ranges)


def write(missing: Mapping[str, Mapping[str, list[int]]]) -> None:
    """Add what is missing to the table."""
    lines = []
    for op in sorted(missing.keys() | MISSING.keys()):
        types = {}
        for kind in sorted(missing.get(op, {}).keys() | MISSING.get(op, {}).keys()):
            known = {each for first, last in MISSING.get(op, {}).get(kind, ()) for each in range(first, last + 1)}
            types[kind] = spans(known | set(missing.get(op, {}).get(kind, ())))
        lines.append(
            f'    "{op}": {{{", ".join(f"{chr(34)}{kind}{chr(34)}: {each}" for kind, each in types.items())}}},'
        )
    head = TABLE.read_text(encoding="utf-8").partition("MISSING:")[0]
    kind = "dict[str, dict[str, tuple[tuple[int, int], ...]]]"
    TABLE.write_text("\n".join([f"{head}MISSING: {kind} = {{", *lines, "}", ""]), encoding="utf-8")


def test_the_table_names_what_onnxruntime_lacks(bless: bool) -> None:
    if bless:
        write(ask(standard_operators()))
        pytest.skip("the table is written")
    made = made_by_the_library()
    assert {"Gelu", "Swish", "LeakyRelu", "LayerNormalization"} <= made
    unknown = [
        (op, kind, opset)
        for op, types in ask(made).items()
        for kind, opsets in types.items()
        for opset in opsets
        if not without_kernel(op, kind, opset)
    ]
    assert not unknown


@pytest.mark.parametrize(
    ("op", "kind", "opset", "runs"),
    [
        ("LeakyRelu", "float64", 22, False),
        ("LeakyRelu", "float32", 22, True),
        ("Gelu", "float64", 20, False),
        ("Swish", "float32", 25, False),
        ("HardSwish", "float64", 17, False),
        ("LayerNormalization", "float64", 17, True),
        ("Conv", "float16", 22, True),
    ],
)
def test_the_table(op: str, kind: str, opset: int, runs: bool) -> None:
    assert (without_kernel(op, kind, opset) == "") is runs


def test_a_target_without_an_implementation_counts() -> None:
    assert "TensorRT cannot build NonZero" in without_kernel("NonZero", "float32", 17, ["tensorrt_rtx"])
    assert without_kernel("NonZero", "float32", 17, ["onnx"]) == ""


LEAKY = "(double[2, 3] x) => (double[2, 3] y) <double a = {0.1}> { m = Mul(x, a) y = Max(x, m) }"
SILU = "(float[2, 3] x) => (float[2, 3] y) { s = Sigmoid(x) y = Mul(x, s) }"


@pytest.mark.parametrize(
    ("text", "opset", "reason"),
    [
        (LEAKY, 22, "onnxruntime's CPU has no kernel of LeakyRelu for float64 at opset 22"),
        (LEAKY.replace("double", "float"), 22, None),
        (SILU, 25, "onnxruntime's CPU has no kernel of Swish for float32 at opset 25"),
        (SILU, 24, None),
    ],
)
def test_rules_make_what_runs(text: str, opset: int, reason: str | None) -> None:
    graph = Graph.from_model(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]> g {text}'))
    graph.infer_shapes()
    context = Context()
    outcome = run_rules(graph, rules_of(ROOT / "recipes" / "rules" / "activation.opt"), context=context)
    assert len(outcome.applied) == (reason is None)
    if reason is not None:
        assert any(reason in why for _, why in context.log.declined)
    assert not is_missing(graph.export(1 << 40).model)
