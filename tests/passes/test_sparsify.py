"""sparsify: zeros where the pattern wants them, and results nearer than when the smallest weights go."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.calibration.node_matrices import as_matrix
from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.graph.extras import node_extras
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.passes.reconstruct import reconstruct
from vggc.passes.sparsify import sparsify
from vggc.pruning.provenance import SPARSITY
from vggc.rewrite import Context, Declined
from vggc.values import Names, Ratio


def samples(graph, count=64, seed=0):
    value = graph.inputs[0]
    random = np.random.default_rng(seed)
    # Channels that go together: what one weight gives up another can take over.
    x = random.standard_normal((count, *graph.shape(value)[1:]), np.float32)
    x += random.standard_normal((count, 1, *graph.shape(value)[2:]), np.float32)
    return ArrayDataset({value.name: x}, None, "random samples")


def error(original, graph):
    (feeds,) = samples(original, 32, seed=9).batches(32)
    expected, found = Session(original).run(feeds), Session(graph).run(feeds)
    return max(float(np.square(found[name] - want).mean() / want.var()) for name, want in expected.items())


def weights(graph):
    return {
        node.name: graph.array(node.inputs[1])
        for node in graph.nodes
        if node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul")
    }


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize(("pattern", "keep", "of"), [(None, 2, 4), ("1:4", 1, 4), ("3:5", 3, 5)])
def test_patterns_run_along_the_input_channels(networks, pattern, keep, of, with_data):
    graph = networks.residual_blocks_with_projection(2)
    before = weights(graph)
    log = sparsify(graph, pattern=pattern, data=samples(graph) if with_data else None, smallest=8)
    graph.infer_shapes(check=True)
    thinned = 0
    for name, array in weights(graph).items():
        channels = array.shape[1]
        assert array.shape == before[name].shape
        node = next(each for each in graph.nodes if each.name == name)
        if channels < 8:
            np.testing.assert_array_equal(array, before[name])
            continue
        thinned += 1
        assert node_extras(node).metadata[SPARSITY] == f"{keep}:{of}"
        for first in range(0, channels, of):
            # KCRS: for each filter and each position of the kernel.
            group = array[:, first : first + of]
            left = np.count_nonzero(group, axis=1)
            assert (left == min(keep, group.shape[1])).all()
    assert thinned == sum(log.changes.values()) > 3


@pytest.mark.parametrize(
    "kind", ["plain_with_flatten", "residual_blocks_with_projection", "nhwc_with_reshape_to_matmul"]
)
@pytest.mark.parametrize("options", [{}, {"amount": Ratio(0.5)}], ids=["2:4", "50%"])
def test_data_keeps_results_nearer(networks, kind, options):
    original = networks.KINDS[kind](2)
    errors = []
    for data in (None, samples(original)):
        graph = original.copy()
        sparsify(graph, data=data, smallest=8, **options)
        errors.append(error(original, graph))
    assert errors[1] < 0.5 * errors[0]


def test_a_share_of_each_node(networks):
    graph = networks.plain_with_flatten(2)
    for data in (None, samples(graph)):
        thin = graph.copy()
        sparsify(thin, amount=Ratio(0.6), data=data, except_=Names(["Gemm_28"]))
        shares = {name: 1 - np.count_nonzero(array) / array.size for name, array in weights(thin).items()}
        assert shares.pop("Gemm_28") == 0
        assert all(abs(share - 0.6) < 0.01 for share in shares.values())


def test_zeros_of_either_side_of_a_product(net):
    """Gemm with and without transB, MatMul with the weights right and left."""
    n = net(shape=("batch", 8, 8))
    x = n.op("MatMul", n.op("MatMul", "x", n.weight(8, 8)), n.weight(8, 8))
    x = n.op("MatMul", n.weight(8, 8), x)
    graph = n.graph(n.op("Gemm", n.op("Flatten", x), n.weight(64, 8), n.weight(8)))
    data = ArrayDataset({"x": np.random.default_rng(0).standard_normal((64, 8, 8), np.float32)}, None, "random")
    log = sparsify(graph, data=data, smallest=8)
    assert len(log.changes) == 4
    for node in graph.nodes:
        if node.op not in ("Gemm", "MatMul"):
            continue
        matrix = as_matrix(graph, node).matrix()[0]
        assert (np.count_nonzero(matrix.reshape(-1, 4, matrix.shape[1]), axis=1) == 2).all()
    left = next(node for node in graph.nodes if node.op == "MatMul" and graph.array(node.inputs[0]) is not None)
    assert (np.count_nonzero(graph.array(left.inputs[0]).reshape(8, 2, 4), axis=2) == 2).all()


def test_rows_longer_than_one_covariance(networks, monkeypatch):
    monkeypatch.setattr("vggc.pruning.sparsity._WIDEST", 50)
    original = networks.plain_with_flatten(2)
    plain, graph = original.copy(), original.copy()
    sparsify(plain, smallest=8)
    sparsify(graph, data=samples(original), smallest=8)
    assert error(original, graph) < error(original, plain)
    for array in weights(graph).values():
        if array.shape[1] >= 8:
            assert (np.count_nonzero(array[:, :4], axis=1) == 2).all()


def test_narrow_nodes_stay(networks):
    graph = networks.plain_with_flatten(40)
    log = sparsify(graph)
    assert set(log.changes) == {"2:4 zeros in Gemm `Gemm_22`", "2:4 zeros in Gemm `Gemm_28`"}
    assert log.declined == {
        ("Conv `Conv_4`", "it reads 3 channels, fewer than 256: TensorRT has sparse kernels from 256 on"): 1,
        ("Conv `Conv_12`", "it reads 240 channels, fewer than 256: TensorRT has sparse kernels from 256 on"): 1,
    }


def test_zeros_come_through_folding_and_stay_in_reconstruct(networks):
    original = networks.batch_norms_unfolded(2)
    graph = original.copy()
    sparsify(graph, smallest=8)
    zeros = {name: array == 0 for name, array in weights(graph).items()}
    fold_batch_norm(graph)
    graph.tidy()
    log = reconstruct(graph, data=samples(graph), context=Context(original=original.copy))
    assert {reason for _, reason in log.declined} == {"its weights are not solved: its zeros must stay"}
    assert any(each.any() for each in zeros.values())
    for node in graph.nodes:
        if node.op in ("Conv", "Gemm") and zeros[node.name].any():
            np.testing.assert_array_equal(graph.array(node.inputs[1]) == 0, zeros[node.name])


def test_two_runs_are_alike(networks):
    def run():
        graph = networks.plain_with_flatten(2)
        sparsify(graph, data=samples(graph), smallest=8)
        return graph.export(1 << 30).model.SerializeToString(deterministic=True)

    assert run() == run()


def test_constant_samples_say_nothing_but_means(networks):
    """Behind the convolutions nothing varies: the smallest weights go, and biases make the results what they were."""
    original = networks.plain_with_flatten(2)
    graph = original.copy()
    data = ArrayDataset({"x": np.ones((8, 3, 8, 8), np.float32)}, None, "ones")
    sparsify(graph, data=data, smallest=8)
    (feeds,) = data.batches(8)
    expected, found = Session(original).run(feeds), Session(graph).run(feeds)
    for name, want in expected.items():
        np.testing.assert_allclose(found[name], want, atol=1e-4)


# --- what is refused ---------------------------------------------------------------------------------------


def test_a_pattern_and_an_amount(networks, refused):
    with refused(
        "error: sparsify takes `pattern` or `amount`, not both\n"
        'help: write one of them: sparsify(pattern="2:4") or sparsify(amount=50%)'
    ):
        sparsify(networks.plain_with_flatten(), pattern="2:4", amount=Ratio(0.5))


@pytest.mark.parametrize("pattern", ["2x4", "4:2", "0:4", "2:4:8", ""])
def test_no_pattern(networks, refused, pattern):
    with refused(
        f'error: `pattern` is "{pattern}", which is not a pattern\nhelp: "2:4" keeps 2 weights of each 4 input channels'
    ):
        sparsify(networks.plain_with_flatten(), pattern=pattern)


@pytest.mark.parametrize(("amount", "told"), [(0, "0%"), (1, "100%")])
def test_no_amount(networks, refused, amount, told):
    with refused(f"error: `amount` must be above 0% and below 100%, but is {told}"):
        sparsify(networks.plain_with_flatten(), amount=Ratio(amount))


def test_names_that_nothing_is_called(networks, refused):
    with refused(
        "error: `except` names `Conv_5`, but no node with weights has that name\nhelp: a similar name exists: `Conv_4`"
    ):
        sparsify(networks.plain_with_flatten(), except_=Names(["Conv_5"]))


def test_nothing_to_thin_out(networks):
    with pytest.raises(Declined, match="no node with weights can get such zeros"):
        sparsify(networks.plain_with_flatten())
