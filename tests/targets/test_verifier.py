"""What is refused before a build, because TensorRT would take it in silence or fail on it late."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from vggc.diagnostics import render
from vggc.graph import Graph
from vggc.graph.extras import annotate
from vggc.targets.verifier import LoweredGraph, refusals
from vggc.targets.verifier.opsets import newest_opset
from vggc.targets.verifier.types import oldest_capability

GraphMaker = Callable[..., Graph]
QDQ = (
    "g (float[3,4] x) => (float[3,4] y) "
    "{ [quantize] q = QuantizeLinear(x, s, z) [dequantize] y = DequantizeLinear(q, s, z) }"
)
OUTSIDE = "help: end the model before it and run it outside the engine; `target onnxruntime` runs it on the CPU"
SYMMETRIC = "help: quantize symmetrically to int8: zero point 0 and a positive scale"


def text(graph: Graph, flavour: str = "tensorrt_rtx", release: tuple[int, int] = (1, 7)) -> str:
    graph.infer_shapes()
    return "\n".join(render(each) for each in refusals(LoweredGraph(graph, flavour, release)))


def test_a_plain_model_passes(make_graph: GraphMaker) -> None:
    assert text(make_graph("g (float[N,4] x, bool[3] c, uint8[2] u) => (float[N,4] y) { y = Relu(x) }")) == ""


# --- opset -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [7, 17, 25])
def test_opsets_it_knows(make_graph: GraphMaker, opset: int) -> None:
    assert text(make_graph("g (float[3] x) => (float[3] y) { y = Relu(x) }", opset=opset)) == ""


def test_an_opset_that_is_too_old(make_graph: GraphMaker) -> None:
    assert text(make_graph("g (float[3] x) => (float[3] y) { y = Relu(x) }", opset=6)) == (
        "error: the model uses opset 6, but TensorRT RTX 1.7 supports opsets 7 to 25\n"
        "help: export it again with opset 17"
    )


def test_operators_of_an_opset_that_is_too_new(make_graph: GraphMaker) -> None:
    body = "a = Relu(x) [sum] y = CumProd(a, i)"
    graph = make_graph(f"g (float[3] x) => (float[3] y) {{ {body} }}", opset=26, i=np.array(0))
    assert text(graph) == (
        "error: CumProd `sum` is defined by opset 26, but TensorRT RTX 1.7 supports opsets 7 to 25\n"
        "help: export the model again with opset 25 or older"
    )


@pytest.mark.parametrize("opset", [26, 27, 28])
def test_older_operators_in_an_opset_that_is_too_new(make_graph: GraphMaker, opset: int) -> None:
    assert text(make_graph("g (float[3] x) => (float[3] y) { y = Relu(x) }", opset=opset)) == ""


@pytest.mark.parametrize(
    ("release", "opset"), [((10, 12), 22), ((10, 14), 22), ((10, 15), 24), ((11, 4), 24), ((11, 5), 25), ((13, 0), 25)]
)
def test_the_newest_opset_of_a_release(release: tuple[int, int], opset: int) -> None:
    assert newest_opset("tensorrt", release) == opset


# --- types and ranks ---------------------------------------------------------------------------------------


def test_float64_is_listed_with_its_places(make_graph: GraphMaker) -> None:
    graph = make_graph(
        "g (float[3] x) => (float[3] y) { [up] a = Cast<to=11>(x) [add] b = Add(a, c) [down] y = Cast<to=1>(b) }",
        c=np.array([1.0, 2.0, 3.0]),
    )
    assert text(graph) == (
        "error: the model computes with float64: TensorRT would compute it in float32 without a warning\n"
        " = value: `a`, computed by Cast `up`\n"
        " = value: `b`, computed by Add `add`\n"
        " = value: the constant `c`, read by Add `add`\n"
        "help: cast it to float32 in the model"
    )


def test_types_it_does_not_have(make_graph: GraphMaker) -> None:
    values = "; ".join(f"[n{index}] v{index} = Identity(x)" for index in range(6)).replace(";", "")
    graph = make_graph(f"g (int16[3] x) => (int16[3] v0, int16[3] v5) {{ {values} }}")
    assert text(graph).startswith(
        "error: the model computes with int16: TensorRT does not support this type\n = value: the input `x`\n"
    )


def test_long_lists_are_cut(make_graph: GraphMaker) -> None:
    chain = " ".join(f"[n{index}] v{index + 1} = Neg(v{index})" for index in range(8))
    graph = make_graph(f"g (double[3] v0) => (double[3] v8) {{ {chain} }}")
    assert text(graph) == (
        "error: the model computes with float64: TensorRT would compute it in float32 without a warning\n"
        " = value: the input `v0`\n"
        " = value: `v1`, computed by Neg `n0`\n"
        " = value: `v2`, computed by Neg `n1`\n"
        " = value: `v3`, computed by Neg `n2`\n"
        " = value: `v4`, computed by Neg `n3`\n"
        " = note: and 4 more\n"
        "help: cast it to float32 in the model"
    )


def test_an_input_of_unknown_rank(make_graph: GraphMaker) -> None:
    graph = make_graph("g (float[3] x) => (float[3] y) { y = Relu(x) }")
    graph.inputs[0].shape = None
    assert text(graph) == (
        "error: the input `x` has no declared number of dimensions; TensorRT RTX would treat it as a single number\n"
        "help: export the model with the input's shape"
    )


def test_the_first_capability_with_all_types(make_graph: GraphMaker) -> None:
    scale = np.float32(0.5)
    plain = make_graph(QDQ, s=scale, z=np.int8(0))
    eight = make_graph(QDQ, opset=19, s=scale, z=np.array(0, ml_dtypes.float8_e4m3fn))
    for graph in (plain, eight):
        graph.infer_shapes()
    assert oldest_capability(plain) == (0, "")
    assert oldest_capability(eight) == (89, "float8e4m3fn")


# --- operators ---------------------------------------------------------------------------------------------


def test_operators_without_an_implementation(make_graph: GraphMaker) -> None:
    graph = make_graph(
        "g (float[1,6,4] b, float[1,1,6] s) => (int64[n,3] y) { [nms] y = NonMaxSuppression(b, s, m, i, t) }",
        m=np.array([3]),
        i=np.array([0.5], np.float32),
        t=np.array([0.0], np.float32),
    )
    assert text(graph) == (
        "error: TensorRT RTX cannot build NonMaxSuppression `nms`\n"
        " = note: this operator can be imported, but has no implementation to build\n"
        f"{OUTSIDE}"
    )
    assert text(graph, "tensorrt", (10, 13)) == ""


@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt_rtx"])
@pytest.mark.parametrize(
    "call",
    [
        "y = QLinearConv(q, s, z, w, s, z, s, z)",
        "y = QLinearMatMul(q, s, z, q, s, z, s, z)",
        "y = ConvInteger(q, w)",
        "y = MatMulInteger(q, q)",
        "y, t, o = DynamicQuantizeLinear(f)",
    ],
)
def test_operators_that_compute_in_integers(make_graph: GraphMaker, flavour: str, call: str) -> None:
    inputs = "int8[1,1,4,4] q, float s, int8 z, int8[1,1,1,1] w, float[3] f"
    kind = "int32" if "Integer" in call else "uint8" if "Dynamic" in call else "int8"
    found = text(make_graph(f"g ({inputs}) => ({kind}[a,b,c,d] y) {{ {call} }}"), flavour, (10, 13))
    op = call.partition("= ")[2].partition("(")[0]
    assert (
        f" cannot build {op} of `y`\n = note: TensorRT represents int8 by QuantizeLinear and DequantizeLinear" in found
    )


def test_operators_inside_bodies_and_where_they_come_from(make_graph: GraphMaker) -> None:
    graph = make_graph(
        "g (float[3] x, bool c) => (int64[1,n] y) "
        "{ [choose] y = If(c) <then_branch = t () => (int64[1,n] a) { [inner] a = NonZero(x) }, "
        "else_branch = e () => (int64[1,n] b) { [other] b = NonZero(x) }> }"
    )
    then = graph.nodes[0].attrs["then_branch"]
    annotate(then.nodes[0], {"vggc.line": "4", "vggc.pass": "my_pass", "vggc.from": "old_node"})
    assert text(graph) == (
        "error: TensorRT RTX cannot build NonZero `inner`\n"
        " = made by: my_pass, line 4\n"
        " = made from: old_node\n"
        " = note: its plugin is not part of TensorRT RTX\n"
        f"{OUTSIDE}\n"
        "error: TensorRT RTX cannot build NonZero `other`\n"
        " = note: its plugin is not part of TensorRT RTX\n"
        f"{OUTSIDE}"
    )


def test_operators_of_other_domains_are_the_importers_business(make_graph: GraphMaker) -> None:
    graph = make_graph("g (float[3] x) => (float[3] y) { y = my.Foo(x) }", domains=', "my": 1')
    assert text(graph) == ""


def test_the_importer_would_read_an_operator_of_another_domain_as_onnxs_own(make_graph: GraphMaker) -> None:
    graph = make_graph("g (float[3] x) => (float[3] y) { [mine] y = my.Sub(x, x) }", domains=', "my": 1')
    assert text(graph) == (
        "error: TensorRT RTX does not support Sub `mine` of the domain `my`\n"
        " = note: it would be computed as ONNX's own Sub, because TensorRT ignores the domain\n"
        "help: if both operators are the same, write a rule: my.Sub(x, y) => Sub(x, y)"
    )


# --- quantization ------------------------------------------------------------------------------------------


def test_symmetric_int8_passes(make_graph: GraphMaker) -> None:
    assert text(make_graph(QDQ, s=np.float32(0.1), z=np.int8(0))) == ""


@pytest.mark.parametrize(
    ("scale", "zero_point", "reason"),
    [
        (np.float32(0.1), np.uint8(0), "it is uint8, which becomes int8 and saturates above 127"),
        (np.float32(0.1), np.int8(3), "its zero point is not 0"),
        (np.float32(np.inf), np.int8(0), "its scale is infinite or not a number"),
        (np.float32(np.nan), np.int8(0), "its scale is infinite or not a number"),
        (np.float32(0), np.int8(0), "its scale is not positive"),
        (np.float32(-1), np.int8(0), "its scale is not positive"),
        (np.float32(1e-40), np.int8(0), "its scale is below the smallest normal float32, 1.18e-38"),
    ],
)
def test_quantization_it_cannot_take(make_graph: GraphMaker, scale: object, zero_point: object, reason: str) -> None:
    assert text(make_graph(QDQ, s=scale, z=zero_point)) == (
        f"error: TensorRT RTX does not support QuantizeLinear `quantize`: {reason}\n{SYMMETRIC}\n"
        f"error: TensorRT RTX does not support DequantizeLinear `dequantize`: {reason}\n{SYMMETRIC}"
    )


def test_a_scale_below_normal_in_its_own_type(make_graph: GraphMaker) -> None:
    half = QDQ.replace("float[", "float16[")
    assert "below the smallest normal float16, 6.1e-05" in text(
        make_graph(half, opset=19, s=np.float16(1e-6), z=np.int8(0))
    )
    assert text(make_graph(half, opset=19, s=np.float16(1e-3), z=np.int8(0))) == ""


def test_no_zero_point_means_uint8(make_graph: GraphMaker) -> None:
    graph = make_graph(QDQ.replace(", z)", ")"), s=np.float32(0.1))
    assert text(graph).startswith("error: TensorRT RTX does not support QuantizeLinear `quantize`: it is uint8")


def test_an_int32_bias(make_graph: GraphMaker) -> None:
    graph = make_graph(
        "g (float[3] x) => (float[3] y) { [bias] b = DequantizeLinear(q, s) y = Add(x, b) }",
        q=np.array([1, 2, 3], np.int32),
        s=np.float32(0.1),
    )
    assert text(graph) == (
        "error: TensorRT RTX does not support DequantizeLinear `bias`: it is int32; leave biases in float\n"
        "help: keep the bias in float32: TensorRT adds it inside the kernel"
    )


# --- branches ----------------------------------------------------------------------------------------------

_BRANCHES = """
g (float[1,3,N,5] x) => (float[a,b,c] y) <int64[1] ax = {0}, int64[1] two = {2}, int64[1] one = {1}, int64 at = {AT}> {
    s = Shape(x) l = Gather(s, at) c = Equal(l, one)
    [choose] y = If(c) <
        then_branch = t () => (float[a,b,c] p) { p = Squeeze(x, THEN) },
        else_branch = e () => (float[a,b,c,d] q) { q = ELSE }
    >
}
"""


@pytest.mark.parametrize(
    ("at", "then", "otherwise", "refused"),
    [
        ("2", "ax", "Neg(x)", True),
        ("2", "ax", "Squeeze(x, ax)", False),
        # The condition does not depend on N.
        ("3", "ax", "Neg(x)", False),
    ],
)
def test_branches_of_different_ranks(make_graph: GraphMaker, at: str, then: str, otherwise: str, refused: bool) -> None:
    graph = make_graph(_BRANCHES.replace("{AT}", f"{{{at}}}").replace("THEN", then).replace("ELSE", otherwise))
    assert text(graph) == (
        "error: TensorRT RTX cannot build If `choose`: the ranks of its branches differ\n"
        " = note: `p` has rank 3, `q` has rank 4\n"
        "help: fix the sizes that the condition depends on with set_input_shapes, and one branch remains; "
        "or export the model with values of the same rank in both branches"
        if refused
        else ""
    )


def test_branches_inside_a_branch(make_graph: GraphMaker) -> None:
    graph = make_graph("""
        g (float[1,3,4,5] x, bool c, bool d) => (float[a,b,c] y) <int64[1] ax = {0}> {
            y = If(c) <
                then_branch = t () => (float[a,b,c] p) { [inner] p = If(d) <
                    then_branch = tt () => (float[a,b,c] u) { u = Squeeze(x, ax) },
                    else_branch = te () => (float[a,b,c,d] v) { v = Neg(x) }
                > },
                else_branch = e () => (float[a,b,c] q) { q = Squeeze(x, ax) }
            >
        }
    """)
    assert "cannot build If `inner`: the ranks of its branches differ" in text(graph)


# --- what the importer accepts and the builder refuses ------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "size", "reason"),
    [
        ("float", 64, "there is no kernel for float32"),
        ("float16", 8, "there is no kernel for heads of 8 numbers"),
        ("float16", 264, "there is no kernel for heads of 264 numbers"),
        ("float16", 64, ""),
    ],
)
@pytest.mark.parametrize("flat", [False, True])
def test_attention_without_a_kernel(make_graph: GraphMaker, kind: str, size: int, reason: str, flat: bool) -> None:
    tensor = f"{kind}[1,16,{2 * size}]" if flat else f"{kind}[1,2,16,{size}]"
    heads = "<q_num_heads=2, kv_num_heads=2>" if flat else ""
    graph = make_graph(
        f"g ({tensor} q, {tensor} k, {tensor} v) => ({tensor} y) {{ [att] y = Attention{heads}(q, k, v) }}", opset=23
    )
    found = text(graph)
    assert (f" = note: {reason}\n" in found) if reason else found == ""
    assert text(graph, "tensorrt", (10, 15)) == ""


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ("[n] c = Cast<to=1>(w) y = Add(x, c)", True),
        ("[n] t = Identity(w) c = DequantizeLinear(t, s, z) y = Add(x, c)", True),
        ("c = DequantizeLinear(w, s, z) y = Add(x, c)", False),
    ],
)
def test_int8_constants(make_graph: GraphMaker, body: str, refused: bool) -> None:
    weights = {"w": np.ones((2, 4), np.int8), "s": np.float32(0.5), "z": np.int8(0)}
    used = {name: value for name, value in weights.items() if f"{name}," in body or f"{name})" in body}
    graph = make_graph(f"g (float[2,4] x) => (float[2,4] y) {{ {body} }}", **used)
    operator = "Cast" if "Cast" in body else "Identity"
    assert text(graph) == (
        f"error: TensorRT RTX cannot build {operator} `n`\n"
        " = note: it reads the int8 constant `w`, which only DequantizeLinear may\n"
        "help: use `simplify`, which computes constants ahead of time, or store it as int32 or float32"
        if refused
        else ""
    )
