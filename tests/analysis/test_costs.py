"""Parameters, bytes and MACs, each against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from vggc.analysis.costs import Costs, costs
from vggc.graph import Graph

HEAD = '<ir_version: 10, opset_import: ["" : 21, "my" : 1]>\n'


def f32(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


def counted(text: str, **weights: Any) -> Costs:
    model = parser.parse_model(HEAD + text)
    for name, array in weights.items():
        tensor = array if isinstance(array, TensorProto) else numpy_helper.from_array(array, name)
        model.graph.initializer.append(tensor)
    graph = Graph.from_model(model)
    graph.infer_shapes()
    return costs(graph)


CONVOLUTIONS = [
    # output elements of one sample times (input channels of a group times kernel size)
    ("Conv<pads = [1,1,1,1]>", "float[N,8,10,12]", f32(16, 8, 3, 3), 16 * 10 * 12 * 8 * 9),
    ("Conv<strides = [2,2]>", "float[N,8,10,12]", f32(16, 8, 2, 2), 16 * 5 * 6 * 8 * 4),
    ("Conv<group = 4>", "float[N,8,10,12]", f32(16, 2, 3, 3), 16 * 8 * 10 * 2 * 9),
    ("Conv<group = 8>", "float[N,8,10,12]", f32(8, 1, 3, 3), 8 * 8 * 10 * 9),
    ("Conv", "float[N,8,10]", f32(16, 8, 3), 16 * 8 * 8 * 3),
    ("Conv", "float[N,2,4,5,6]", f32(3, 2, 2, 2, 2), 3 * 3 * 4 * 5 * 2 * 8),
    # input elements of one sample times (output channels of a group times kernel size)
    ("ConvTranspose<strides = [2,2]>", "float[N,8,10,12]", f32(8, 6, 2, 2), 8 * 10 * 12 * 6 * 4),
    ("ConvTranspose<group = 2>", "float[N,8,10,12]", f32(8, 3, 3, 3), 8 * 10 * 12 * 3 * 9),
]


@pytest.mark.parametrize(("op", "given", "weight", "macs"), CONVOLUTIONS)
def test_convolutions(op: str, given: str, weight: Any, macs: int) -> None:
    rank = len(weight.shape)
    text = f"g ({given} x) => (float[{','.join('NABCDE'[:rank])}] y) {{ y = {op}(x, w) }}"
    found = counted(text, w=weight)
    assert found.macs == macs
    assert found.params == weight.size and found.weight_bytes == 4 * weight.size


PRODUCTS = [
    ("float[N,6] x", "Gemm(x, w)", f32(6, 5), 6 * 5),
    ("float[N,6] x", "Gemm<transB = 1>(x, w)", f32(5, 6), 6 * 5),
    ("float[6,4] x", "Gemm<transA = 1>(x, w)", f32(6, 5), 4 * 6 * 5),
    ("float[N,6] x", "MatMul(x, w)", f32(6, 5), 6 * 5),
    ("float[N,7,6] x", "MatMul(x, w)", f32(6, 5), 7 * 6 * 5),
    ("float[N,3,7,6] x", "MatMul(x, w)", f32(3, 6, 5), 3 * 7 * 6 * 5),
    ("float[N,6] x", "MatMul(x, w)", f32(6), 6),
    ("float[4,6] x", "MatMul(x, w)", f32(6, 5), 4 * 6 * 5),
]


@pytest.mark.parametrize(("given", "op", "weight", "macs"), PRODUCTS)
def test_matrix_products(given: str, op: str, weight: Any, macs: int) -> None:
    rank = 1 if weight.ndim == 1 else given.count(",") + 1
    found = counted(f"g ({given}) => (float[{','.join('ABCD'[:rank])}] y) {{ y = {op} }}", w=weight)
    assert found.macs == macs and found.params == weight.size


def test_attention_multiplies_two_computed_values() -> None:
    found = counted(
        "g (float[N,4,9,8] q, float[N,4,8,9] k) => (float[N,4,9,9] y) { y = MatMul(q, k) }",
    )
    assert found.macs == 4 * 9 * 9 * 8 and found.params == 0


@pytest.mark.parametrize(("op", "gates", "directions"), [("LSTM", 4, 1), ("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1)])
def test_recurrent_operators(op: str, gates: int, directions: int) -> None:
    direction = "bidirectional" if directions == 2 else "forward"
    found = counted(
        f'g (float[7,1,6] x) => (float[A,B,C,D] y) {{ y = {op}<hidden_size = 5, direction = "{direction}">(x, w, r) }}',
        w=f32(directions, gates * 5, 6),
        r=f32(directions, gates * 5, 5),
    )
    assert found.macs == 7 * directions * gates * 5 * (6 + 5)


@pytest.mark.parametrize(
    ("equation", "first", "second", "macs"),
    [
        ("ij,jk->ik", "N,6", "6,5", 30),
        ("bhqd,bhkd->bhqk", "N,2,4,8", "N,2,3,8", 2 * 4 * 3 * 8),
        ("ij->ji", "N,6", "", 0),
        ("...j,jk->...k", "N,3,6", "6,5", 3 * 6 * 5),
        ("...ij,...jk->...ik", "N,2,3,4", "2,4,5", 2 * 3 * 4 * 5),
    ],
)
def test_einsum(equation: str, first: str, second: str, macs: int) -> None:
    given = f"float[{first}] x" + (f", float[{second}] z" if second else "")
    read = "x, z" if second else "x"
    text = f"g ({given}) => (float[{','.join('ABCD'[: equation.rpartition('>')[2].__len__()])}] y)"
    assert counted(f'{text} {{ y = Einsum<equation = "{equation}">({read}) }}').macs == macs


def test_attention_in_one_node() -> None:
    model = parser.parse_model(
        '<ir_version: 11, opset_import: ["" : 23]> g (float[N,4,10,8] q, float[N,2,12,8] k, float[N,2,12,6] v) => '
        "(float[N,4,10,6] y) { y = Attention(q, k, v) }"
    )
    graph = Graph.from_model(model)
    graph.infer_shapes()
    assert costs(graph).macs == 4 * 10 * 12 * (8 + 6)


def test_a_batch_with_an_invented_name_counts_as_one_sample() -> None:
    """tf2onnx keeps the name that inference gave the batch; a Reshape behind it keeps the batch."""
    found = counted(
        "g (float[unk__749,6,2] x) => (float[A,B,C] y) <int64[3] t = {-1, 3, 4}> "
        "{ s = Reshape(x, t) y = MatMul(s, w) }",
        w=f32(4, 5),
    )
    assert found.macs == 3 * 4 * 5


def test_quantized_products() -> None:
    found = counted(
        "g (uint8[N,8,6,6] x, float s, uint8 z, int8 zw) => (uint8[N,4,6,6] y) "
        "{ y = QLinearConv(x, s, z, w, s, zw, s, z, b) }",
        w=np.ones((4, 8, 1, 1), np.int8),
        b=np.ones(4, np.int32),
    )
    assert found.macs == 4 * 36 * 8 and found.params == 36 and found.weight_bytes == 32 + 16
    found = counted("g (int8[N,6] x) => (int32[N,5] y) { y = MatMulInteger(x, w) }", w=np.ones((6, 5), np.int8))
    assert found.macs == 30 and found.weight_bytes == 30


def test_scales_shapes_and_single_numbers_are_no_parameters() -> None:
    found = counted(
        "g (float[N,6] x) => (float[N,5] y) { d = DequantizeLinear<axis = 0>(w, s, z) a = MatMul(x, d) "
        "r = Reshape(a, to) h = CastLike(half, r) y = Mul(r, h) }",
        w=np.ones((6, 5), np.int8),
        s=f32(6),
        z=np.zeros(6, np.int8),
        to=np.array([-1, 5]),
        half=np.array(0.5, np.float32),
    )
    assert found.params == 30
    assert found.weight_bytes == 30 + 24 + 6 + 16 + 4


def test_int4_takes_half_a_byte() -> None:
    packed = helper.make_tensor("w", TensorProto.INT4, [6, 5], [1] * 30)
    found = counted(
        "g (float[N,6] x, float s) => (float[N,5] y) { d = DequantizeLinear(w, s) y = MatMul(x, d) }", w=packed
    )
    assert found.params == 30 and found.weight_bytes == 15


def test_shared_weights_count_once_in_the_model_and_at_each_node() -> None:
    found = counted(
        "g (float[N,5] x) => (float[N,5] y) { a = MatMul(x, w) s = Shape(w) y = MatMul(a, w) }", w=f32(5, 5)
    )
    assert found.params == 25 and found.weight_bytes == 100 and found.macs == 50
    assert [each.params for each in found.nodes] == [25, 25]


def test_a_static_batch_counts_as_it_is() -> None:
    assert counted("g (float[4,6] x) => (float[4,5] y) { y = MatMul(x, w) }", w=f32(6, 5)).macs == 120


def test_a_batch_without_a_name() -> None:
    assert counted("g (float[?,6] x) => (float[?,5] y) { y = MatMul(x, w) }", w=f32(6, 5)).macs == 30


def test_what_a_reshape_leaves_open_is_told_by_its_size() -> None:
    found = counted(
        "g (float[N,8,1,1] x) => (float[N,5] y) { n = Shape<end = 1>(x) t = Concat<axis = 0>(n, k) "
        "m = Mul(t, one) f = Reshape(x, m) a = MatMul(f, w) y = Relu(a) }",
        k=np.array([8]),
        one=np.array([1, 1]),
        w=f32(8, 5),
    )
    assert found.macs == 40


def test_pads_that_pytorch_computes_from_a_list() -> None:
    """F.pad(x, (0, 1, 0, 1)), as TorchScript's exporter writes it: filled up with zeros, paired, turned round."""
    text = """g (float[N,3,10,10] x) => (float[N,4,H,W] y)
    <int64[4] given = {0, 1, 0, 1}, int64 four = {4}, int64 two = {2}, int64[2] pairs = {-1, 2}, int64[1] all = {-1},
     int64[1] last = {-1}, int64[1] front = {-9223372036854775807}, int64[1] axis = {0}, int64[1] back = {-1},
     int64[1] first = {0}> {
        size = Shape(given)
        eight = Mul(four, two)
        more = Sub(eight, size)
        zeros = ConstantOfShape<value = int64[1] {0}>(more)
        list = Concat<axis = 0>(given, zeros)
        paired = Reshape(list, pairs)
        turned = Slice(paired, last, front, axis, back)
        sides = Transpose<perm = [1,0]>(turned)
        pads = Reshape(sides, all)
        padded = Pad(x, pads)
        y = Conv(padded, w)
    }"""
    assert counted(text, w=f32(4, 3, 2, 2)).macs == 4 * 10 * 10 * 3 * 4


def test_nodes() -> None:
    found = counted(
        "g (float[N,8,4,4] x) => (float[N,6,4,4] y) { [first] c = Conv(x, w, b) [second] y = Relu(c) }",
        w=f32(6, 8, 1, 1),
        b=f32(6),
    )
    first, second = found.nodes
    assert (first.label, first.op, first.output, first.params) == ("Conv `first`", "Conv", (1, 6, 4, 4), 54)
    assert (first.weight_bytes, first.macs) == (216, 768)
    assert (second.params, second.macs, second.output) == (0, 0, (1, 6, 4, 4))


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("g (float[N,3,H,W] x) => (float[N,4,A,B] y) { [c] y = Conv(x, w) }", "Conv `c`"),
        ('g (float[N,K] x) => (float[N,5] y) { [e] y = Einsum<equation = "ij,lk->ik">(x, w) }', "Einsum `e`"),
        ("g (float[N,6] x) => (float[N,5] y) { [m] y = my.Product(x, w) }", "Product `m`"),
        (
            "g (float[N,4] x, bool c) => (float[N,4] y) { [i] y = If(c) <"
            "then_branch = t () => (float[N,4] r) { r = MatMul(x, w) }, "
            "else_branch = e () => (float[N,4] q) { q = Relu(x) }> }",
            "If `i`",
        ),
    ],
)
def test_what_cannot_be_told_is_said(text: str, unknown: str) -> None:
    found = counted(text, w=f32(4, 3, 3, 3) if "Conv" in text else f32(4, 4) if "If" in text else f32(6, 5))
    assert found.macs is None and [each.label for each in found.unknown] == [unknown]


def test_a_body_without_products_costs_nothing() -> None:
    found = counted(
        "g (float[N,4] x, bool c) => (float[N,4] y) { y = If(c) <"
        "then_branch = t () => (float[N,4] r) { r = Add(x, w) }, "
        "else_branch = e () => (float[N,4] q) { q = Relu(x) }> }",
        w=f32(4),
    )
    assert found.macs == 0 and found.params == 4
