"""The operators of recovery compute what onnxruntime computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from vggc.binding.modules import import_file
from vggc.execution.session import Session
from vggc.graph import Graph

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch onnxscript safetensors")
Twin = pytest.importorskip("vggc.recovery.twin").Twin

KINDS = tuple(import_file(Path(__file__).parents[1] / "networks.py").KINDS)


def same(graph, feed):
    graph.infer_shapes()
    twin = Twin(graph)
    assert not twin.skipped
    session = Session(graph)
    expected = session.run(feed)
    with torch.no_grad():
        found = twin({name: twin.tensor(array) for name, array in feed.items()}, expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name].numpy(), array, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(array).max()))


def feed_of(graph, seed=0):
    value = graph.inputs[0]
    shape = [size if isinstance(size, int) else 2 for size in graph.shape(value)]
    return {value.name: np.random.default_rng(seed).standard_normal(shape).astype(np.float32)}


@pytest.mark.parametrize("kind", KINDS)
def test_networks(networks, kind):
    graph = networks.KINDS[kind]()
    same(graph, feed_of(graph))


X = [2, 4, 7, 9]
ONE_NODE = {
    "conv_same_upper": ("Conv", 17, [X, (6, 4, 3, 2)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "conv_same_lower": ("Conv", 17, [X, (6, 4, 2, 3)], {"auto_pad": "SAME_LOWER"}),
    "conv_uneven_pads": ("Conv", 17, [X, (6, 2, 3, 3), (6,)], {"pads": [0, 1, 2, 0], "group": 2, "dilations": [2, 1]}),
    "conv_1d": ("Conv", 17, [[2, 3, 9], (5, 3, 3)], {"pads": [1, 1]}),
    "transposed": ("ConvTranspose", 17, [X, (4, 3, 3, 3), (6,)], {"group": 2, "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    "transposed_output_padding": (
        "ConvTranspose",
        17,
        [X, (4, 3, 3, 3), (3,)],
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    "transposed_same": ("ConvTranspose", 17, [X, (4, 3, 3, 3)], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "gemm": ("Gemm", 17, [[3, 5], (4, 3), (5, 1)], {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}),
    "max_pool_ceil": ("MaxPool", 17, [X], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "max_pool_pads": ("MaxPool", 17, [X], {"kernel_shape": [3, 2], "pads": [1, 0, 0, 1], "dilations": [2, 1]}),
    "average_pool_pads": ("AveragePool", 19, [X], {"kernel_shape": [3, 3], "pads": [1, 0, 1, 1], "strides": [2, 2]}),
    "average_pool_counts": (
        "AveragePool",
        19,
        [X],
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "count_include_pad": 1, "ceil_mode": 1},
    ),
    "softmax_old": ("Softmax", 11, [X], {"axis": 1}),
    "log_softmax": ("LogSoftmax", 17, [X], {"axis": 1}),
    "instance_norm": ("InstanceNormalization", 17, [X, (4,), (4,)], {}),
    "layer_norm": ("LayerNormalization", 17, [X, (7, 9), (7, 9)], {"axis": -2}),
    "group_norm": ("GroupNormalization", 21, [X, (4,), (4,)], {"num_groups": 2}),
    "lrn": ("LRN", 17, [X], {"size": 3}),
    "lp_norm": ("LpNormalization", 17, [X], {"axis": 1, "p": 2}),
    "prelu": ("PRelu", 17, [X, (4, 1, 1)], {}),
    "celu": ("Celu", 17, [X], {"alpha": 0.7}),
    "elu": ("Elu", 17, [X], {"alpha": 0.7}),
    "selu": ("Selu", 17, [X], {}),
    "gelu": ("Gelu", 20, [X], {"approximate": "tanh"}),
    "hard_sigmoid": ("HardSigmoid", 17, [X], {}),
    "hard_swish": ("HardSwish", 17, [X], {}),
    "mish": ("Mish", 18, [X], {}),
    "softsign": ("Softsign", 17, [X], {}),
    "thresholded_relu": ("ThresholdedRelu", 17, [X], {"alpha": 0.3}),
    "mean": ("Mean", 17, [X, X, (1, 4, 1, 1)], {}),
    "max": ("Max", 17, [X, X, (1, 4, 1, 1)], {}),
    "reduce_mean": ("ReduceMean", 17, [X], {"axes": [-1, 1], "keepdims": 0}),
    "reduce_l2": ("ReduceL2", 17, [X], {"axes": [1]}),
    "reduce_log_sum_exp": ("ReduceLogSumExp", 17, [X], {"axes": [2]}),
    "reduce_product": ("ReduceProd", 17, [X], {"axes": [2, 3], "keepdims": 0}),
    "flatten": ("Flatten", 17, [X], {"axis": 2}),
    "transpose": ("Transpose", 17, [X], {}),
    "depth_to_space_dcr": ("DepthToSpace", 17, [[1, 8, 2, 3]], {"blocksize": 2}),
    "depth_to_space_crd": ("DepthToSpace", 17, [[1, 8, 2, 3]], {"blocksize": 2, "mode": "CRD"}),
    "space_to_depth": ("SpaceToDepth", 17, [[1, 2, 4, 6]], {"blocksize": 2}),
    "einsum": ("Einsum", 17, [[2, 3, 4], (4, 5)], {"equation": "bij,jk->bik"}),
}


@pytest.mark.parametrize("case", ONE_NODE)
def test_nodes(case):
    op, opset, (shape, *weights), attributes = ONE_NODE[case]
    random = np.random.default_rng(1)
    arrays = {f"w{index}": random.uniform(0.2, 1.0, size).astype(np.float32) for index, size in enumerate(weights)}
    same(one_node(op, opset, shape, arrays, attributes), {"x": random.standard_normal(shape).astype(np.float32)})


def one_node(op, opset, shape, arrays, attributes):
    return graph_of([helper.make_node(op, ["x", *arrays], ["y"], **attributes)], opset, shape, arrays)


def graph_of(nodes, opset, shape, arrays):
    """Nodes that compute `y` from `x` and constant arrays by name."""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "case",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=10,
    )
    return Graph.from_model(model)


INTEGER_INPUTS = {
    "slice_backwards": ("Slice", 17, {"s": [5, 1], "e": [-100, 8], "a": [2, 3], "t": [-2, 3]}, {}),
    "pad_axes": ("Pad", 18, {"p": [1, 2], "v": np.array(0.5, np.float32), "a": [-1]}, {}),
    "pad_reflect": ("Pad", 17, {"p": [0, 0, 1, 2, 0, 0, 3, 1]}, {"mode": "reflect"}),
    "pad_edge": ("Pad", 17, {"p": [0, 0, 1, 2, 0, 0, 3, 1]}, {"mode": "edge"}),
    "pad_cuts": ("Pad", 17, {"p": [0, 1, -1, 0, 0, 0, 0, -2]}, {}),
    "gather": ("Gather", 17, {"i": [[0, -1], [2, 1]]}, {"axis": 1}),
    "tile": ("Tile", 17, {"r": [1, 2, 1, 3]}, {}),
    "expand": ("Expand", 17, {"s": [3, 1, 1, 1, 1]}, {}),
    "reshape_zero": ("Reshape", 17, {"s": [0, -1, 9]}, {}),
    "unsqueeze": ("Unsqueeze", 17, {"a": [0, -1]}, {}),
    "sum": ("ReduceSum", 17, {"a": [1]}, {"keepdims": 0}),
}


@pytest.mark.parametrize("case", INTEGER_INPUTS)
def test_nodes_with_sizes(case):
    op, opset, given, attributes = INTEGER_INPUTS[case]
    arrays = {
        name: numbers if isinstance(numbers, np.ndarray) else np.array(numbers, np.int64)
        for name, numbers in given.items()
    }
    graph = one_node(op, opset, X, arrays, attributes)
    same(graph, feed_of(graph))


UNSUPPORTED = {
    "AveragePool with dilations": ("AveragePool", {"kernel_shape": [2, 2], "dilations": [2, 2]}, {}),
    "Resize with antialiasing or a region": (
        "Resize",
        {"mode": "linear", "antialias": 1},
        {"r": np.zeros(0, np.float32), "s": np.array([1, 1, 0.5, 0.5], np.float32)},
    ),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_a_function_does_not_compute_is_skipped(case):
    op, attributes, arrays = UNSUPPORTED[case]
    twin = Twin(one_node(op, 19, X, arrays, attributes))
    assert list(twin.skipped.values()) == [f"{case} has no gradient here"]
    assert twin.computed == {"x"}


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("kind", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("scale", [2.0, 0.6, 1.7])
def test_resize(mode, kind, scale):
    arrays = {"r": np.zeros(0, np.float32), "s": np.array([1, 1, scale, 2.0], np.float32)}
    graph = one_node("Resize", 19, X, arrays, {"mode": mode, "coordinate_transformation_mode": kind})
    same(graph, feed_of(graph))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("axis", [None, 1])
def test_quantizers(dtype, axis):
    count = 4 if axis else 1
    scale = np.random.default_rng(0).uniform(0.01, 0.05, count).astype(np.float32)
    scale = scale if axis else scale.reshape(())
    zero = np.full(scale.shape, 3 if dtype != "int16" else 0, dtype)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **({"axis": axis} if axis else {})),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **({"axis": axis} if axis else {})),
    ]
    graph = graph_of(nodes, 21, X, {"s": np.asarray(scale), "z": zero})
    same(graph, feed_of(graph))


def test_rounding_passes_gradients_within_its_limits():
    from vggc.recovery.operators.quantizers import on_grid

    x = torch.tensor([0.4, -3.6, 200.0, -200.0], requires_grad=True)
    y = on_grid(x, np.dtype(np.int8))
    y.sum().backward()
    assert y.tolist() == [0.0, -4.0, 127.0, -128.0]
    assert x.grad.tolist() == [1.0, 1.0, 0.0, 0.0]
