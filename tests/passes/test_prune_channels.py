"""prune_channels on the kinds of networks people prune: the budget, the proof, and what the result is good for."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from vggc.analysis.channels import channel_groups, prove
from vggc.analysis.costs import costs
from vggc.calibration.matrix import Unsuitable
from vggc.data import ArrayDataset
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.passes.prune_channels import prune_channels
from vggc.passes.simplify import simplify
from vggc.pruning.provenance import channels_of
from vggc.pruning.selection import NEEDS_DATA
from vggc.pruning.widths import steps
from vggc.targets.contract import Lowering
from vggc.targets.tensorrt import tensorrt_rtx
from vggc.values import Bytes, Interval, Names, Ratio

KINDS = (
    "plain_with_flatten",
    "plain_with_global_pooling",
    "batch_norms_unfolded",
    "residual_blocks_with_projection",
    "bottlenecks",
    "inverted_residuals",
    "squeeze_and_excitation",
    "dense_block",
    "channel_shuffle",
    "split_and_concat",
    "unet_with_resize_and_concat",
    "unet_with_computed_sizes",
    "nhwc_with_reshape_to_matmul",
)
EACH_KIND = pytest.mark.parametrize("kind", KINDS)
WIDER = 2


def samples(graph, count=24, seed=0):
    """Random samples of a graph's own shapes, 8 where nothing tells the size."""
    random = np.random.default_rng(seed)
    arrays = {}
    for value in graph.inputs:
        shape = [each if isinstance(each, int) else 8 for each in graph.shape(value)[1:]]
        arrays[value.name] = random.standard_normal((count, *shape), np.float32)
    return ArrayDataset(arrays, None, "random samples")


def kept_atoms(groups, channels):
    """The atoms that stay, by group, from the channels that the report lists for each node."""
    keep = {}
    for each in groups.weighted:
        name = each.node.name or each.node.outputs[0].name
        if each.outputs is None or name not in channels:
            continue
        for group in each.outputs.groups:
            stays = np.zeros(len(each.outputs), bool)
            stays[channels[name]] = True
            mine = each.outputs.group == group
            atoms = np.unique(each.outputs.atom[mine & stays])
            assert group not in keep or np.array_equal(keep[group], atoms)
            keep[group] = atoms
    return keep


def test_every_kind_is_tested(networks):
    assert tuple(networks.KINDS) == KINDS


@EACH_KIND
def test_the_budget_is_reached_within_one_step(networks, kind):
    graph = networks.KINDS[kind](WIDER)
    groups = channel_groups(graph.copy())
    # Of images of any size nobody knows the MACs.
    what = "macs" if costs(graph).macs else "params"
    limit = 0.5 * getattr(costs(graph), what)
    log = prune_channels(graph, **{what: Ratio(0.5)}, data=samples(graph), align=2)
    graph.infer_shapes(check=True)
    keep = kept_atoms(groups, log.channels)
    assert getattr(costs(graph), what) == getattr(groups.cost(keep), what) <= limit
    for group in groups.prunable:
        ladder = steps(group, 2)
        assert len(keep.get(group.id, range(group.size))) in ladder
        # No group can be wider by one step: that much of the budget is unused at most.
        if group.id in keep:
            wider = {**keep, group.id: ladder[ladder.index(len(keep[group.id])) - 1]}
            assert getattr(groups.cost(wider), what) > limit


@EACH_KIND
def test_without_repair_it_is_the_masked_original(networks, kind):
    graph = networks.KINDS[kind](WIDER)
    original = graph.copy()
    log = prune_channels(graph, params=Ratio(0.6), importance="l1", align=2)
    groups = channel_groups(original)
    keep = kept_atoms(groups, log.channels)
    assert keep
    found = prove(groups.masked(keep), graph, random_inputs(original, seed=1))
    assert found.error <= 1e-5


@EACH_KIND
def test_the_result_folds_and_runs_at_any_batch_size(networks, kind):
    graph = networks.KINDS[kind](WIDER)
    prune_channels(graph, keep=Ratio(0.4), data=samples(graph), repair="bias", align=2)
    folded = graph.copy()
    simplify(folded)
    folded.tidy()
    fold_batch_norm(folded)
    folded.tidy()
    folded.infer_shapes(check=True)
    norms = [node.op for node in folded.nodes].count("BatchNormalization")
    # Those behind a Concat and before a Relu have nothing to fold into.
    assert norms == (4 if kind == "dense_block" else 0)
    fixed = isinstance(graph.shape(graph.inputs[0])[0], int)
    for count in (2,) if fixed else (1, 5):
        (feeds,) = samples(graph, count, seed=2).batches(count)
        expected, got = Session(graph).run(feeds), Session(folded).run(feeds)
        for name, numbers in expected.items():
            assert len(got[name]) == count
            np.testing.assert_allclose(got[name], numbers, rtol=1e-3, atol=1e-4 * np.abs(numbers).max())


@EACH_KIND
def test_repair_brings_the_outputs_nearer(networks, kind):
    """Half the channels of a random network cannot be missed without loss; repair halves it at least."""
    original = networks.KINDS[kind](WIDER)
    data = samples(original, 64)
    (feeds,) = samples(original, 2 if kind == "unet_with_resize_and_concat" else 32, seed=3).batches(64)
    reference = Session(original).run(feeds)
    errors = {}
    for repair in ("none", "bias", "least_squares"):
        graph = original.copy()
        prune_channels(graph, keep=Ratio(0.5), data=data, repair=repair, align=2)
        found = Session(graph).run(feeds)
        errors[repair] = sum(
            float(np.square(found[name] - numbers).mean() / numbers.var()) for name, numbers in reference.items()
        )
    assert errors["bias"] < errors["none"]
    assert errors["least_squares"] < 0.5 * errors["none"]


IMPORTANCES = {
    "plain_with_flatten": ("l1", "l2", "fpgm", "activation", "obs"),
    "residual_blocks_with_projection": ("l1", "l2", "fpgm", "bn_scale", "activation", "obs"),
}


@pytest.mark.parametrize(("kind", "importance"), [(kind, each) for kind, all_ in IMPORTANCES.items() for each in all_])
def test_each_importance(networks, kind, importance):
    """Channels that make no difference go first, whatever tells their importance."""
    graph = networks.KINDS[kind](WIDER)
    group = next(each for each in channel_groups(graph).prunable if len(each.producers) == 1)
    _kill(graph, group, np.arange(0, group.size, 3))
    data = samples(graph)
    (feeds,) = data.batches(24)
    expected = Session(graph).run(feeds)
    options = {"keep": Ratio(2 / 3), "only": Names([group.producers[0].node.name]), "align": 1, "repair": "none"}
    given = data if importance in NEEDS_DATA else None
    log = prune_channels(graph, importance=importance, data=given, **options)
    assert len(log.channels[options["only"][0]]) == round(2 / 3 * group.size)
    for name, numbers in Session(graph).run(feeds).items():
        np.testing.assert_allclose(numbers, expected[name], rtol=1e-4, atol=1e-5)


def _kill(graph, group, atoms):
    """Make channels zero that one node makes and only reads of their own follow: weights, bias and batch norm."""
    for member in group.members:
        # Consumers' weights stay, for a channel that is zero must go whatever they are.
        if member.node is None or member.node in [each.node for each in group.consumers]:
            continue
        if member.node.op == "BatchNormalization" and member.input not in (1, 2):
            continue
        values = graph.array(member.value).copy()
        index = [slice(None)] * values.ndim
        index[member.axis] = np.isin(member.channels.atom, atoms)
        values[tuple(index)] = 0
        graph.set_input(member.node, member.input, graph.constant(values))


def test_the_report_says_which_channels_are_left(networks):
    graph = networks.residual_blocks_with_projection(WIDER)
    original = graph.copy()
    first = prune_channels(graph, keep=Ratio(0.5), importance="l2", align=2).channels
    before = {node.name: node for node in original.nodes}
    for node in graph.nodes:
        if node.name in first and node.op == "Conv":
            # The weights are those of the channels that are left, of inputs as well as of outputs.
            kept = original.array(before[node.name].inputs[1])[first[node.name]]
            left = graph.array(node.inputs[1])
            assert len(left) == len(kept) == len(first[node.name])
            assert {each.tobytes() for each in left[:, 0]} <= {
                each.tobytes() for each in kept.reshape(-1, *left.shape[2:])
            }
            assert channels_of(node) == first[node.name]
    log = prune_channels(graph, keep=Ratio(0.5), importance="l2", align=1)
    for node in graph.nodes:
        if node.name in log.channels:
            # Pruned again, a node tells of the model as read, the report of the step before.
            again = log.channels[node.name]
            assert channels_of(node) == [first[node.name][each] for each in again]


def test_two_runs_are_alike(networks):
    def run():
        graph = networks.inverted_residuals(WIDER)
        prune_channels(graph, macs=Ratio(0.5), data=samples(graph), align=2, seed=3)
        return graph.export(1 << 30).model

    assert run().SerializeToString(deterministic=True) == run().SerializeToString(deterministic=True)


def test_only_and_except(networks):
    def run(**options):
        graph = networks.plain_with_flatten(WIDER)
        return set(prune_channels(graph, keep=Ratio(0.5), importance="l2", align=2, **options).channels)

    assert run() == {"Conv_4", "Conv_12", "Gemm_22"}
    assert run(only=Names(["Conv_*"])) == {"Conv_4", "Conv_12"}
    assert run(except_=Names(["Conv_12"])) == {"Conv_4", "Gemm_22"}
    assert run(only=Names(["Conv_*"]), except_=Names(["Conv_12"])) == {"Conv_4"}


def test_bytes_are_a_budget(networks):
    graph = networks.plain_with_flatten(WIDER)
    prune_channels(graph, size=Bytes(5000), importance="l2", align=2)
    assert 4000 < costs(graph).weight_bytes <= 5000


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel here")
@pytest.mark.parametrize("kind", ["residual_blocks_with_projection", "channel_shuffle", "dense_block"])
def test_the_result_becomes_an_engine(networks, kind, tmp_path):
    graph = networks.KINDS[kind](WIDER)
    prune_channels(graph, keep=Ratio(0.5), importance="l2", align=2)
    provenance = {
        "recipe": "net.opt",
        "recipe_sha256": "a" * 64,
        "parameters": {},
        "passes": ["prune_channels"],
        "source_sha256": "b" * 64,
        "calibration": {},
    }
    made = tensorrt_rtx(Lowering(graph, "net", tmp_path, provenance), compute=["sm86"], batch=Interval((1, 4, 8)))
    assert made[0].bytes == (tmp_path / "model.engine").stat().st_size > 0


def test_the_biases_of_repair_are_in_the_budget(net):
    n = net()
    x = n.op("Relu", n.conv(n.op("Relu", n.conv("x", 3, 16, bias=False)), 16, 16, 1, bias=False))
    pooled = n.op("Flatten", n.op("GlobalAveragePool", x))
    graph = n.graph(n.op("MatMul", n.op("MatMul", pooled, n.weight(16, 16)), n.weight(16, 5)))
    full = costs(graph).params
    prune_channels(graph, params=Ratio(0.6), data=samples(graph), align=1)
    graph.tidy()
    assert [node.op for node in graph.nodes].count("Add") == 2
    assert 0.5 * full < costs(graph).params <= 0.6 * full


def test_channels_that_a_pad_adds_matter_least(net):
    n = net()
    x = n.op("Pad", n.conv("x", 3, 6), n.ints(0, 2, 0, 0, 0, 1, 0, 0))
    graph = n.graph(n.head(n.conv(x, 9, 8), 8))
    prune_channels(graph, keep=Ratio(0.5), importance="l2", align=1)
    graph.infer_shapes(check=True)
    assert graph.shape(next(node for node in graph.nodes if node.op == "Pad").outputs[0])[1] <= 6


def test_macs_of_open_sizes_are_counted_at_the_samples_sizes(net):
    n = net()
    x = n.op("Relu", n.conv("x", 3, 16))
    x = n.op("Relu", n.conv(x, 16, 16))
    graph = n.graph(n.head(x, 16))
    image = graph.inputs[0]
    image.shape = ["N", 3, "H", "W"]
    graph.infer_shapes()
    random = np.random.default_rng(0).standard_normal((24, 3, 12, 10), np.float32)
    full = _macs_at(graph, 12, 10)
    assert costs(graph).macs is None
    prune_channels(graph, macs=Ratio(0.5), data=ArrayDataset({"x": random}, None, "random"), align=1)
    assert image.shape == ["N", 3, "H", "W"]
    assert 0.35 * full < _macs_at(graph, 12, 10) <= 0.5 * full


@pytest.mark.parametrize("size", [(16, 24), (10, 6)])
def test_a_convolutional_net_of_any_image_size_at_the_samples_sizes(net, size):
    """As segmentation nets are exported: batch, height and width are open, and the last Resize computes its sizes."""
    n = net(shape=("N", 3, "H", "W"))
    x = n.block("x", 3, 16)
    y = n.block(x, 16, 24, strides=[2, 2])
    y = n.op("Resize", n.block(y, 24, 24), "", n.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest")
    y = n.conv(n.op("Concat", x, y, axis=1), 40, 4, 1)
    sizes = n.op("Concat", n.ints(1, 4), n.op("Slice", n.op("Shape", "x"), n.ints(2), n.ints(4)), axis=0)
    sizes = n.op(
        "Mul", sizes, n.op("Concat", n.op("Slice", n.op("Shape", "x"), n.ints(0), n.ints(1)), n.ints(1, 1, 1), axis=0)
    )
    graph = n.graph(n.op("Resize", y, "", "", sizes, mode="linear"))
    full = _macs_at(graph, *size)
    images = np.random.default_rng(0).standard_normal((32, 3, *size), np.float32)
    assert costs(graph).macs is None
    prune_channels(graph, macs=Ratio(0.5), data=ArrayDataset({"x": images}, None, "images"), align=1)
    graph.infer_shapes(check=True)
    assert graph.shape(graph.inputs[0]) == ["N", 3, "H", "W"]
    assert 0.4 * full < _macs_at(graph, *size) <= 0.5 * full
    for batch, height, width in ((1, 12, 8), (3, 6, 20)):
        image = np.ones((batch, 3, height, width), np.float32)
        (found,) = Session(graph).run({"x": image}).values()
        assert found.shape == (batch, 4, height, width)


def _macs_at(graph, height, width):
    copy = graph.copy()
    copy.inputs[0].shape = ["N", 3, height, width]
    copy.infer_shapes()
    return costs(copy).macs


def test_readers_whose_results_have_no_known_rank(networks, monkeypatch):
    """What follows them is not known then, so that they count with what they read, and the others are repaired."""

    def unknown(graph, node):
        raise Unsuitable("the rank of its output is not known")

    graph = networks.plain_with_global_pooling()
    full = costs(graph).macs
    monkeypatch.setattr("vggc.pruning.group_readers.epilogue", unknown)
    prune_channels(graph, macs=Ratio(0.7), data=samples(graph, 64), align=1)
    assert costs(graph).macs <= 0.7 * full
