"""What prune_channels says to options, models and data it cannot work with."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.passes.prune_channels import prune_channels
from vggc.rewrite import Declined
from vggc.values import Bytes, Names, Ratio

HALF = Ratio(0.5)


def calib(count=24, shape=(3, 8, 8), value=None, labels=None):
    x = np.random.default_rng(0).standard_normal((count, *shape), np.float32)
    if value is not None:
        x[:] = value
    data = ArrayDataset({"x": x}, labels, "random samples")
    data.name = "calib"
    return data


def test_two_budgets(networks, refused):
    with refused(
        "error: prune_channels takes one of `macs`, `params`, `keep` and `size`; given: `macs` and `params`\n"
        "help: say what may remain: prune_channels(macs=50%)"
    ):
        prune_channels(networks.plain_with_flatten(), macs=HALF, params=HALF)


def test_no_budget(networks, refused):
    with refused(
        "error: prune_channels takes one of `macs`, `params`, `keep` and `size`; given: none\n"
        "help: say what may remain: prune_channels(macs=50%)"
    ):
        prune_channels(networks.plain_with_flatten())


def test_a_budget_below_what_can_be_reached(networks, refused):
    with refused(
        "error: pruning cannot bring the bytes of weights down to 0.2%: the least it can reach is 10.2%\n"
        " = note: every group at its narrowest: 10.2% of the bytes of weights\n"
        " = kept: Gemm `Gemm_28`, 5 channels: it is the graph output `gemm27`\n"
        "help: ask for at least 10.2%"
    ):
        prune_channels(networks.plain_with_flatten(4), size=Bytes(100))


def test_what_is_left_out_is_told_where_a_budget_cannot_be_reached(networks, refused):
    with refused(
        "error: pruning cannot bring the parameters down to 2%: the least it can reach is 14.8%\n"
        " = note: every group at its narrowest: 14.8% of the parameters\n"
        " = kept: Conv `Conv_12`, 28 channels: named by the recipe\n"
        " = kept: Gemm `Gemm_28`, 5 channels: it is the graph output `gemm27`\n"
        "help: ask for at least 14.8%"
    ):
        prune_channels(networks.plain_with_flatten(4), params=Ratio(0.02), except_=Names(["Conv_12"]), align=4)


def test_a_budget_that_a_smaller_align_reaches(networks, refused):
    with refused(
        "error: pruning cannot bring the MACs down to 50%: the least it can reach is 99.8%\n"
        " = note: every group at its narrowest: 99.8% of the MACs\n"
        " = kept: Gemm `Gemm_28`, 5 channels: it is the graph output `gemm27`\n"
        "help: with align=2 it can reach 24.3%"
    ):
        prune_channels(networks.plain_with_flatten(), macs=HALF)


def test_unknown_macs(networks, refused):
    with refused(
        "error: the MACs of this model are unknown: those of Conv `Conv_3` and 3 more\n"
        "help: give sizes: prune_channels(..., data=calib) counts at those of the samples, "
        "set_input_shapes fixes them; "
        "or limit the parameters instead: prune_channels(params=50%)"
    ):
        prune_channels(networks.unet_with_computed_sizes(), macs=HALF)


def test_macs_that_samples_do_not_tell(net, refused):
    n = net()
    scores = n.head(n.op("Relu", n.conv("x", 3, 6)), 6)
    # How many scores are not zero depends on their values.
    found = n.op("Transpose", n.op("Cast", n.op("NonZero", scores), to=1))
    graph = n.graph(n.op("MatMul", found, n.weight(2, 4)))
    with refused(
        "error: the MACs of this model are unknown: those of MatMul `MatMul_23`\n"
        "help: limit the parameters instead: prune_channels(params=50%)"
    ):
        prune_channels(graph, macs=HALF, data=calib())


@pytest.mark.parametrize("options", [{"macs": Ratio(1)}, {"size": Bytes(1 << 30)}])
def test_a_model_within_its_budget_stays(networks, options):
    with pytest.raises(Declined, match="the model is already within the budget"):
        prune_channels(networks.plain_with_flatten(), **options)


def test_groups_narrower_than_one_step_stay(networks):
    with pytest.raises(Declined, match="keep=50% and align=64 leave each group all its channels"):
        prune_channels(networks.plain_with_flatten(), keep=HALF, align=64)


def test_a_model_of_one_convolution(net, refused):
    n = net()
    with refused(
        "error: no channels of this model can be removed\n"
        " = kept: Conv `Conv_4`, 8 channels: it is the graph output `conv3`"
    ):
        prune_channels(n.graph(n.conv("x", 3, 8)), macs=HALF)


def test_a_model_without_weights(net, refused):
    n = net()
    with refused(
        "error: no channels of this model can be removed\n = note: it has no node with weights between two others"
    ):
        prune_channels(n.graph(n.op("Relu", "x")), macs=HALF)


@pytest.mark.parametrize("option", ["only", "except_"])
def test_names_that_nothing_is_called(networks, refused, option):
    with refused(
        f"error: `{option.strip('_')}` names `Conv_5`, but no node with weights has that name\n"
        "help: a similar name exists: `Conv_4`"
    ):
        prune_channels(networks.plain_with_flatten(), macs=HALF, **{option: Names(["Conv_5"])})


def test_everything_left_out(networks, refused):
    with refused(
        "error: `only` and `except` leave no channels to remove\n"
        "help: name other nodes: Conv `Conv_4`, Conv `Conv_12`, Gemm `Gemm_22`"
    ):
        prune_channels(networks.plain_with_flatten(), macs=HALF, except_=Names(["*"]))


def test_data_that_does_not_fit(networks, refused):
    with refused(
        "error: array `x` of data `calib` does not fit the model's input `x`: 9 along axis 2 for 8\n"
        " = data: `x` float32 [samples, 3, 9, 8]\n"
        " = model: `x` float32 [batch, 3, 8, 8]"
    ):
        prune_channels(networks.plain_with_flatten(), macs=HALF, data=calib(shape=(3, 9, 8)), align=2)


def test_too_little_data_for_a_fixed_batch(networks, refused):
    with refused("error: data `calib` has 1 sample, but the model takes batches of 2\nhelp: give it more samples"):
        prune_channels(networks.unet_with_resize_and_concat(), macs=HALF, data=calib(count=1), align=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"importance": "obs"}, "importance=obs needs samples"),
        ({"importance": "taylor"}, "importance=taylor needs samples"),
        ({"repair": "least_squares"}, "repair=least_squares needs samples"),
    ],
)
def test_what_needs_data(networks, refused, options, message):
    with refused(f"error: {message}\nhelp: give it some: prune_channels(..., data=calib)"):
        prune_channels(networks.plain_with_flatten(), macs=HALF, **options)


def test_taylor_needs_labels(networks, refused):
    with refused(
        "error: importance=taylor needs labels, but data `calib` has none\n"
        'help: name the array with the class numbers: npz("test.npz", label="y")'
    ):
        prune_channels(networks.plain_with_flatten(), macs=HALF, importance="taylor", data=calib(), align=2)


def test_scales_of_batch_norms_that_are_not_there(networks, refused):
    with refused(
        "error: the channels of Conv `Conv_4` have no batch norm that could tell their importance\n"
        "help: choose another importance, or leave them out with `except`"
    ):
        prune_channels(networks.plain_with_flatten(), macs=HALF, importance="bn_scale", align=2)


@pytest.mark.parametrize("importance", ["obs", "activation", "l2"])
def test_values_that_are_no_numbers(net, refused, importance):
    n = net()
    x = n.op("Log", n.conv("x", 3, 6))
    graph = n.graph(n.head(n.conv(x, 6, 8), 8))
    with refused(
        "error: `log5` has NaN or infinite numbers on the samples of data `calib`\n"
        "help: look at the samples and at the model before pruning it: vggc inspect, vggc diff"
    ):
        prune_channels(graph, keep=HALF, data=calib(), importance=importance, align=2)


def test_outputs_that_are_no_numbers(net, refused):
    n = net()
    x = n.conv(n.op("Relu", n.conv("x", 3, 6)), 6, 8)
    graph = n.graph(n.op("Log", n.head(x, 8)))
    with refused(
        "error: output `log19` has NaN or infinite numbers on the samples of data `calib`\n"
        "help: look at the samples and at the model before pruning it: vggc inspect, vggc diff"
    ):
        prune_channels(graph, macs=HALF, data=calib(), align=2)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_samples_that_are_all_the_same(networks, value):
    """Behind the last convolution nothing varies: no weights can be solved, but the outputs are what they were."""
    graph = networks.plain_with_flatten(4)
    data = calib(value=value)
    (feeds,) = data.batches(24)
    expected = Session(graph).run(feeds)
    log = prune_channels(graph, macs=HALF, data=data, align=2)
    found = Session(graph).run(feeds)
    for name, numbers in expected.items():
        np.testing.assert_allclose(found[name], numbers, atol=1e-4)
    assert log.declined == {
        ("Gemm `Gemm_22`", "only its means are corrected: its inputs are the same on all samples"): 1,
        ("Gemm `Gemm_28`", "only its means are corrected: its inputs are the same on all samples"): 1,
    }


def test_fewer_samples_than_weights(networks):
    """Three samples leave the covariance of a Gemm's 112 inputs singular; the ridge settles what they do not."""
    graph = networks.plain_with_flatten(4)
    data = calib(count=3)
    (feeds,) = data.batches(3)
    expected = Session(graph).run(feeds)
    prune_channels(graph, macs=HALF, data=data, align=2)
    found = Session(graph).run(feeds)
    for name, numbers in expected.items():
        assert np.square(found[name] - numbers).mean() < 0.2 * numbers.var()
