"""Quantized models of anybody's: what TensorRT would run otherwise than they say, and what it would run slowly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from vggc.diagnostics import render
from vggc.graph import Graph
from vggc.targets.verifier import LoweredGraph, findings

GraphMaker = Callable[..., Graph]

S, Z = np.float32(0.1), np.int8(0)
SCALES, ZEROS = np.full(16, 0.1, np.float32), np.zeros(16, np.int8)
W = np.ones((16, 16, 1, 1), np.int8)
IN = "[qx] xq = QuantizeLinear(x, s, z) [dx] xd = DequantizeLinear(xq, s, z)"
OUT = "[qy] yq = QuantizeLinear(r, s, z) [dy] y = DequantizeLinear(yq, s, z)"
IMAGE = "g (float[1,16,8,8] x) => (float[1,16,8,8] y)"


def text(graph: Graph, compute: tuple[str, ...] = ()) -> str:
    graph.infer_shapes()
    found = findings(LoweredGraph(graph, "tensorrt_rtx", (1, 7), compute))
    return "\n".join(render(each.diagnostic()) for each in found)


def conv(make_graph: GraphMaker, body: str, axis: int = 0, **more: Any) -> Graph:
    """`body` around a Conv `conv` of `xd` to `c`, whose int8 weights have a scale for each channel of `axis`."""
    weights = f"[dw] wd = DequantizeLinear<axis={axis}>(w, ws, wz) [conv] c = Conv(xd, wd)"
    body = body.replace("CONV", weights)
    return make_graph(f"{IMAGE} {{ {body} }}", **{"s": S, "z": Z, "w": W, "ws": SCALES, "wz": ZEROS, **more})


# --- placed as TensorRT wants it: nothing to say -------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        f"{IN} CONV [relu] r = Relu(c) {OUT}",
        f"{IN} CONV [relu] y = Relu(c)",
        # The skip branch is quantized, the branch that ends in the convolution is not.
        f"{IN} CONV [sum] a = Add(c, xd) [relu] r = Relu(a) {OUT}",
        f"{IN} CONV [pool] r = MaxPool<kernel_shape=[1, 1]>(c) {OUT}",
        # Quantized behind its epilogue, read by the next convolution.
        f"{IN} CONV r = Relu(c) [q] q = QuantizeLinear(r, s, z) [d] d = DequantizeLinear(q, s, z) y = Conv(d, wd)",
        # Padding in int8, right before the convolution.
        f"{IN.replace('xd =', 'x0 =')} [pad] xd = Pad(x0, no) CONV y = Relu(c)",
    ],
)
def test_pairs_where_they_belong(make_graph: GraphMaker, body: str) -> None:
    assert text(conv(make_graph, body, no=np.zeros(8, np.int64))) == ""


def test_four_bit_weights_beside_float_activations(make_graph: GraphMaker) -> None:
    graph = make_graph(
        "g (float[4,128] x) => (float[4,32] y) { w = DequantizeLinear<axis=0, block_size=64>(q, s) y = MatMul(x, w) }",
        opset=21,
        q=np.zeros((128, 32), ml_dtypes.int4),
        s=np.ones((2, 32), np.float32),
    )
    assert text(graph) == ""


# --- scales along an axis ------------------------------------------------------------------------------------


def test_a_wrong_axis_of_conv_weights(make_graph: GraphMaker) -> None:
    assert text(conv(make_graph, f"{IN} CONV y = Relu(c)", axis=1)) == (
        "error: TensorRT RTX does not support DequantizeLinear `dw`: its scales are along axis 1, but the output "
        "channels "
        "of Conv `conv` along axis 0: it would run in float\n"
        "help: quantize these weights with axis=0, or with one scale"
    )
    assert text(conv(make_graph, f"{IN} CONV y = Relu(c)", axis=-4)) == ""


@pytest.mark.parametrize(
    ("product", "right"),
    [
        ("y = Gemm(xd, wd)", 1),
        ("y = Gemm<transB=1>(xd, wd)", 0),
        ("y = MatMul(xd, wd)", 1),
        ("y = MatMul(wd, xd)", 0),
        ("wt = Transpose<perm=[1, 0]>(wd) y = MatMul(xd, wt)", 0),
        ("wt = Transpose(wd) y = Gemm<transB=1>(xd, wt)", 1),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_the_axis_of_matrices(make_graph: GraphMaker, product: str, right: int, axis: int) -> None:
    graph = make_graph(
        f"g (float[16,16] x) => (float[16,16] y) {{ {IN} wd = DequantizeLinear<axis={axis}>(w, ws, wz) {product} }}",
        s=S,
        z=Z,
        w=np.ones((16, 16), np.int8),
        ws=SCALES,
        wz=ZEROS,
    )
    assert ("would run in float" in text(graph)) == (axis != right)


def test_the_axis_of_a_transposed_convolution(make_graph: GraphMaker) -> None:
    for axis in (0, 1):
        body = f"{IN} CONV y = Relu(c)"
        graph = conv(make_graph, body, axis=axis)
        next(node for node in graph.nodes if node.op == "Conv").op = "ConvTranspose"
        assert ("along axis 1: it would run in float" in text(graph)) == (axis == 0)


def test_scales_by_channel_of_an_activation(make_graph: GraphMaker) -> None:
    body = "[qx] q = QuantizeLinear<axis=1>(x, ws, wz) [dx] xd = DequantizeLinear<axis=1>(q, ws, wz) CONV y = Relu(c)"
    help = "help: quantize activations with one scale for the whole tensor"
    assert text(conv(make_graph, body)) == (
        f"error: TensorRT RTX does not support QuantizeLinear `qx`: it has 16 scales, but an activation may have only "
        f"one\n{help}\n"
        f"error: TensorRT RTX does not support DequantizeLinear `dx`: it has 16 scales, but an activation may have "
        f"only one\n{help}"
    )


# --- types and opsets ----------------------------------------------------------------------------------------


def test_activations_of_four_bits(make_graph: GraphMaker) -> None:
    graph = make_graph(
        f"g (float[4,4] x) => (float[4,4] y) {{ {OUT.replace('(r,', '(x,')} }}",
        opset=21,
        s=S,
        z=np.array(0, ml_dtypes.int4),
    )
    assert text(graph) == (
        "error: TensorRT RTX does not support QuantizeLinear `qy`: it quantizes activations to int4, which is for "
        "weights only\n"
        "help: quantize activations to int8, or leave them in float"
    )


@pytest.mark.parametrize(
    ("zero", "name"),
    [
        (np.array(0, np.int16), "int16"),
        (np.array(0, np.uint16), "uint16"),
        (np.array(0, ml_dtypes.uint4), "uint4"),
        (np.array(0, ml_dtypes.float8_e5m2), "float8e5m2"),
        (np.array(0, ml_dtypes.float8_e4m3fnuz), "float8e4m3fnuz"),
    ],
)
def test_types_that_it_does_not_quantize_to(make_graph: GraphMaker, zero: np.ndarray, name: str) -> None:
    body = OUT.replace("(r,", "(x,")
    found = text(make_graph(f"g (float[4,4] x) => (float[4,4] y) {{ {body} }}", opset=21, s=S, z=zero))
    assert found.startswith(f"error: the model computes with {name}: TensorRT does not support this type\n")


def test_a_scale_that_is_computed(make_graph: GraphMaker) -> None:
    graph = make_graph(f"g (float[4] x, float s) => (float[4] y) {{ {OUT.replace('(r,', '(x,')} }}", z=Z)
    assert text(graph).startswith(
        "error: TensorRT RTX does not support QuantizeLinear `qy`: its scale is computed while the model runs\n"
    )


@pytest.mark.parametrize(
    ("zero", "scale", "opset", "what"),
    [
        (np.array(0, ml_dtypes.float8_e4m3fn), S, 17, "float8e4m3fn"),
        (np.array(0, ml_dtypes.int4), S, 19, "int4"),
        (np.array(0, ml_dtypes.float4_e2m1fn), S, 21, "float4e2m1"),
        (Z, np.float16(0.1), 17, "float16 scales"),
    ],
)
def test_opsets_too_old_for_a_type(make_graph: GraphMaker, zero: Any, scale: Any, opset: int, what: str) -> None:
    kind = "float16" if scale.dtype == np.float16 else "float"
    body = OUT.replace("(r,", "(x,")
    graph = make_graph(f"g ({kind}[4] x) => ({kind}[4] y) {{ {body} }}", opset=25, s=scale, z=zero)
    graph.infer_shapes()
    graph.opset = opset
    found = [each.message for each in findings(LoweredGraph(graph, "tensorrt_rtx", (1, 7)))]
    message = (
        f"TensorRT RTX does not support QuantizeLinear `qy`: opset {opset} does not support quantization with {what}"
    )
    assert message in found


def test_scales_by_channel_in_an_opset_without_them(make_graph: GraphMaker) -> None:
    graph = conv(make_graph, f"{IN} CONV y = Relu(c)")
    graph.infer_shapes()
    graph.opset = 11
    found = [each.message for each in findings(LoweredGraph(graph, "tensorrt_rtx", (1, 7)))]
    assert (
        "TensorRT RTX does not support DequantizeLinear `dw`: opset 11 does not support quantization with per-channel "
        "scales" in found
    )


def test_a_cast_to_a_quantized_type(make_graph: GraphMaker) -> None:
    graph = make_graph("g (float[4] x) => (float[4] y) { [down] e = Cast<to=17>(x) [up] y = Cast<to=1>(e) }", opset=19)
    note = " = note: only QuantizeLinear may write float8e4m3fn, and only DequantizeLinear may read it\n"
    help = "help: quantize with a scale instead of casting"
    messages = [f"error: TensorRT RTX cannot build Cast `{each}`\n{note}{help}" for each in ("down", "up")]
    assert text(graph) == "\n".join(messages)


def test_types_are_held_against_the_gpus_asked_for(make_graph: GraphMaker) -> None:
    graph = make_graph(
        f"g (float[4] x) => (float[4] y) {{ {OUT.replace('(r,', '(x,')} }}",
        opset=19,
        s=S,
        z=np.array(0, ml_dtypes.float8_e4m3fn),
    )
    assert text(graph, ("sm89", "sm120")) == ""
    assert text(graph, ("sm86", "sm89")) == (
        "error: sm86 GPUs do not support float8e4m3fn, which the model uses\nhelp: build for 8.9 and newer"
    )


# --- where pairs stand: warnings -----------------------------------------------------------------------------

PAIR = "[q] q = QuantizeLinear(c, s, z) [d] d = DequantizeLinear(q, s, z)"


@pytest.mark.parametrize(
    "epilogue", ["Relu(d)", "Clip(d, lo, hi)", "HardSwish(d)", "LeakyRelu(d)", "Sigmoid(d)", "Softplus(d)"]
)
def test_a_pair_before_the_activation(make_graph: GraphMaker, epilogue: str) -> None:
    limits = {"lo": np.float32(0), "hi": np.float32(6)}
    op = epilogue.partition("(")[0]
    assert text(conv(make_graph, f"{IN} CONV {PAIR} [act] y = {epilogue}", **limits)) == (
        f"warning: QuantizeLinear `q` is between Conv `conv` and {op} `act`, which TensorRT RTX would otherwise run "
        "as one kernel\n"
        f"help: quantize after {op} `act`"
    )


def test_a_pair_before_the_batch_norm(make_graph: GraphMaker) -> None:
    ones = np.ones(16, np.float32)
    graph = conv(make_graph, f"{IN} CONV {PAIR} [norm] y = BatchNormalization(d, o, o, o, o)", o=ones)
    assert text(graph).startswith("warning: QuantizeLinear `q` is between Conv `conv` and BatchNormalization `norm`")


def test_both_branches_of_a_residual_sum(make_graph: GraphMaker) -> None:
    assert text(conv(make_graph, f"{IN} CONV {PAIR} [sum] y = Add(d, xd)")) == (
        "warning: QuantizeLinear `q` is between Conv `conv` and Add `sum`, which TensorRT RTX would otherwise run as "
        "one kernel\n"
        "help: quantize after Add `sum`"
    )


def test_a_pair_between_pad_and_conv(make_graph: GraphMaker) -> None:
    body = (
        "[pad] p = Pad(x, no) [qx] xq = QuantizeLinear(p, s, z) [dx] xd = DequantizeLinear(xq, s, z) CONV y = Relu(c)"
    )
    assert text(conv(make_graph, body, no=np.zeros(8, np.int64))) == (
        "warning: QuantizeLinear `qx` is between Pad `pad` and Conv `conv`, which TensorRT RTX would otherwise run as "
        "one kernel\n"
        "help: quantize before Pad `pad`"
    )


def test_weights_or_input_alone(make_graph: GraphMaker) -> None:
    assert text(conv(make_graph, "xd = Neg(x) CONV y = Relu(c)")) == (
        "warning: Conv `conv` runs in float: its weights are quantized and its input is not\n"
        "help: quantize all of its inputs, or none"
    )
    graph = conv(make_graph, f"{IN} [conv] c = Conv(xd, f) y = Relu(c)", f=np.ones((16, 16, 1, 1), np.float32))
    assert text(graph).startswith(
        "warning: Conv `conv` runs in float: its input is quantized and its weights are not\n"
    )
