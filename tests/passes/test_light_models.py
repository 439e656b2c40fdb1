"""simplify and fold_batch_norm on the real architectures that ship inside the onnx package (light_*.onnx).

Those files make all their weights with ConstantOfShape, one number a tensor. Where a test is about numbers, random
weights take their places.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.passes.simplify import simplify
from vggc.rewrite import ChangeLog, Context

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

NODES = {
    "bvlc_alexnet": 24,
    "densenet121": 367,
    "inception_v1": 138,
    "inception_v2": 164,
    "resnet50": 123,
    "shufflenet": 154,
    "squeezenet": 65,
    "vgg19": 46,
    "zfnet512": 23,
}
"""What is left of each: its convolutions, activations, pools and so on, and no weight that is computed."""

KEPT = {"densenet121": 62}
"""Batch norms behind Concat and pools, before Relu: they have to stay, each with its Mul and Add inside."""


def load(name: str) -> onnx.ModelProto:
    return onnx.load(LIGHT / f"light_{name}.onnx")


def with_random_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every ConstantOfShape replaced by an initializer of trained weights' size; variances are positive.

    The output is what goes into the last Softmax: with random weights that gives one class everything, and would hide
    any error.
    """
    logits = next(node.input[0] for node in model.graph.node if list(node.output) == [model.graph.output[0].name])
    model.graph.output[0].name = logits
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    random = np.random.default_rng(0)
    shapes = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    reads = {name: (node.op_type, index) for node in model.graph.node for index, name in enumerate(node.input)}
    for node in [each for each in model.graph.node if each.op_type == "ConstantOfShape"]:
        shape = shapes[node.input[0]].tolist()
        values = random.standard_normal(shape)
        if len(shape) > 1:
            values /= np.sqrt(np.prod(shape[1:]))
        if reads[node.output[0]] in (("BatchNormalization", 1), ("BatchNormalization", 4)):
            values = np.abs(values) + 0.5
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), node.output[0]))
        model.graph.node.remove(node)
    model.ir_version = 8
    return model


def shorten(graph: Graph) -> ChangeLog:
    context = Context()
    for each in (simplify, fold_batch_norm):
        each(graph, context=context)
        graph.tidy()
    return context.log


def error(before: Graph, after: Graph) -> float:
    given = {
        value.name: np.random.default_rng(1).standard_normal(graph_shape).astype(np.float32)
        for value in before.inputs
        if (graph_shape := before.static_shape(value)) is not None
    }
    worst = 0.0
    for want, got in zip(Session(before).run(given).values(), Session(after).run(given).values(), strict=True):
        assert len(np.unique(want)) > 500
        worst = max(worst, float(np.abs(got - want).max() / np.abs(want).max()))
    return worst


@pytest.mark.parametrize("name", NODES)
def test_weights_are_constant_and_batch_norms_gone(name: str) -> None:
    model = load(name)
    graph = Graph.from_model(model)
    log = shorten(graph)
    assert len(graph.nodes) == NODES[name]
    assert sum(node.op == "BatchNormalization" for node in graph.nodes) == KEPT.get(name, 0)
    assert [value.name for value in graph.outputs] == [value.name for value in model.graph.output]
    told = [reason for what, reason in log.declined if what.startswith("BatchNormalization")]
    assert len(told) == KEPT.get(name, 0)
    assert all("is also read by" in reason or "has no weights of its own" in reason for reason in told)


@pytest.mark.parametrize("name", NODES)
def test_a_second_run_changes_nothing(name: str) -> None:
    graph = Graph.load(LIGHT / f"light_{name}.onnx")
    for each in (simplify, fold_batch_norm):
        each(graph)
        graph.tidy()
        assert not each(graph).changes


@pytest.mark.parametrize("name", ["densenet121", "inception_v2", "resnet50", "shufflenet"])
def test_random_weights_keep_the_outputs(name: str) -> None:
    model = with_random_weights(load(name))
    before, after = Graph.from_model(model), Graph.from_model(model)
    shorten(after)
    assert len(after.nodes) < len(before.nodes) - 40
    assert sum(node.op == "BatchNormalization" for node in after.nodes) == KEPT.get(name, 0)
    assert 0 < error(before, after) < 1e-5


@pytest.mark.parametrize("name", ["inception_v1", "squeezenet"])
def test_models_without_batch_norms_keep_every_bit(name: str) -> None:
    model = with_random_weights(load(name))
    before, after = Graph.from_model(model), Graph.from_model(model)
    shorten(after)
    assert len(after.nodes) < len(before.nodes)
    assert error(before, after) == 0


def test_weights_of_a_hundred_megabytes_stay_computed() -> None:
    graph = Graph.load(LIGHT / "light_vgg19.onnx")
    reasons = dict(simplify(graph).declined.keys())
    assert reasons["ConstantOfShape of `fc6_w_0`"] == "as a constant, its result would take 411 MB of the model"
    simplify(graph, largest=1 << 29)
    graph.tidy()
    assert all(node.op != "ConstantOfShape" for node in graph.nodes)
