"""recover trains a graph towards the model as read, and changes nothing but its weights."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from vggc.cache import Store
from vggc.data import ArrayDataset
from vggc.diagnostics import Code, CompileError
from vggc.execution.session import Session
from vggc.graph.snapshot import Snapshot
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.passes.prune_channels import prune_channels
from vggc.passes.quantize import quantize
from vggc.passes.recover import recover
from vggc.passes.sparsify import sparsify
from vggc.recovery.processes import training_processes
from vggc.rewrite import Context
from vggc.targets.verifier.finding import LoweredGraph
from vggc.targets.verifier.rules import findings
from vggc.values import Ratio

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None, reason="needs PyTorch: pip install torch onnxscript safetensors"
)


def samples(graph, count=64, seed=0):
    value = graph.inputs[0]
    x = np.random.default_rng(seed).standard_normal((count, *graph.shape(value)[1:]), np.float32)
    return ArrayDataset({value.name: x}, None, "random samples")


def damaged(graph, strength=0.3):
    """A copy with noise on all weights of more than one axis."""
    graph, random = graph.copy(), np.random.default_rng(0)
    for node in graph.nodes:
        if node.op in ("Conv", "Gemm", "MatMul"):
            weights = graph.array(node.inputs[1])
            noise = random.standard_normal(weights.shape) * weights.std() * strength
            graph.set_input(node, 1, graph.constant((weights + noise).astype(np.float32)))
    graph.tidy()
    return graph


def context_of(original, **more):
    return Context(original=original.copy, cache=lambda: None, **more)


def error(original, graph):
    """The mean squared error of outputs on samples that training has not seen, as a share of their variance."""
    (feed,) = samples(original, 32, seed=9).batches(32)
    expected, found = Session(original).run(feed), Session(graph).run(feed)
    return max(float(np.square(found[name] - want).mean() / want.var()) for name, want in expected.items())


def numbers(graph):
    return {value.name: np.array(graph.array(value)) for value in graph.constants()}


@pytest.mark.parametrize("maker", ["residual_blocks_with_projection", "inverted_residuals", "plain_with_flatten"])
@pytest.mark.parametrize("folded", [False, True])
def test_it_brings_results_back(networks, maker, folded):
    original = getattr(networks, maker)()
    graph = damaged(original)
    if folded:
        fold_batch_norm(graph)
        graph.tidy()
    before, shapes = error(original, graph), [(node.op, node.name) for node in graph.nodes]
    log = recover(graph, data=samples(graph), epochs=15, rate=1e-2, batch=16, context=context_of(original))
    graph.tidy()
    assert error(original, graph) < 0.6 * before
    assert [(node.op, node.name) for node in graph.nodes] == shapes
    assert log.changes["train weights"] > 0
    bold = ", with the statistics of batches" if "BatchNormalization" in dict(shapes) else ""
    assert f" of 56 samples at the rate 0.01{bold}; on 8 held back, the loss is " in log.notes[0]


def test_pruned_channels_and_features(networks):
    original = networks.residual_blocks_with_projection(2)
    graph = original.copy()
    data = samples(graph)
    prune_channels(graph, macs=Ratio(0.5), data=data, context=context_of(original))
    graph.tidy()
    graph = damaged(graph)
    before = error(original, graph)
    options = {"rate": 1e-2, "features": 0.5, "batch": 16, "loss": "mean_squares"}
    recover(graph, data=data, epochs=30, **options, context=context_of(original))
    graph.tidy()
    assert error(original, graph) < before


def test_statistics_of_batch_norms_stay(networks):
    original = networks.batch_norms_unfolded()
    graph = damaged(original)
    kept = [np.array(graph.array(each)) for n in graph.nodes if n.op == "BatchNormalization" for each in n.inputs[3:]]
    options = {"epochs": 2, "rate": 1e-2, "statistics": "keep"}
    recover(graph, data=samples(graph), **options, context=context_of(original))
    graph.tidy()
    now = [np.array(graph.array(each)) for n in graph.nodes if n.op == "BatchNormalization" for each in n.inputs[3:]]
    assert all(np.array_equal(one, other) for one, other in zip(kept, now, strict=True))


def test_statistics_of_batch_norms_learn(networks):
    """In a graph whose norms divide by twice as much as they should."""
    original = networks.batch_norms_unfolded()
    graph, before = original.copy(), {}
    for node in graph.nodes:
        if node.op == "BatchNormalization":
            before[node.name] = np.array(graph.array(node.inputs[4])) * np.float32(4)
            graph.set_input(node, 4, graph.constant(before[node.name]))
    graph.tidy()
    damage = error(original, graph)
    options = {"epochs": 30, "rate": 1e-2, "batch": 32, "statistics": "learn", "vary": False, "loss": "mean_squares"}
    log = recover(graph, data=samples(graph, 256), **options, context=context_of(original))
    graph.tidy()
    assert ", with the statistics of batches; on " in log.notes[0]
    assert error(original, graph) < 0.7 * damage
    now = {node.name: graph.array(node.inputs[4]) for node in graph.nodes if node.op == "BatchNormalization"}
    assert all(not np.allclose(now[name], variance, rtol=0.1) for name, variance in before.items())


def test_the_same_seed_gives_the_same_weights(networks):
    original = networks.residual_blocks_with_projection()
    found = []
    for seed in (0, 0, 1):
        graph = damaged(original)
        recover(graph, data=samples(graph), epochs=2, rate=1e-2, batch=16, seed=seed, context=context_of(original))
        graph.tidy()
        found.append(numbers(graph))
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])
    assert not all(np.array_equal(found[0][name], found[2][name]) for name in found[0])


def test_it_is_never_worse_than_the_start(networks):
    original = networks.residual_blocks_with_projection()
    graph = original.copy()
    before = Snapshot(graph)
    log = recover(graph, data=samples(graph), epochs=2, context=context_of(original))
    assert Snapshot(graph) == before
    assert ("recover", "no epoch was better on the samples held back than the weights it began with") in log.declined


def test_rates_are_tried(networks):
    original = networks.plain_with_global_pooling()
    graph = damaged(original)
    progress = []
    context = context_of(original, progress=lambda what, done=0, total=0: progress.append((what, done, total)))
    log = recover(graph, data=samples(graph), epochs=3, batch=16, context=context)
    assert [(done, total) for what, done, total in progress if what == "try ways to train"] == [
        (index, 6) for index in range(6)
    ]
    assert [(done, total) for what, done, total in progress if what.startswith("train, held back")] == [
        (index, 3) for index in range(3)
    ]
    assert any(f"at the rate {rate:g}" in log.notes[0] for rate in (1e-2, 3e-3, 1e-3, 2e-4))


def test_a_bold_training_that_comes_to_nothing_is_given_up(networks, monkeypatch):
    monkeypatch.setattr("vggc.recovery.training._HOPELESS", 0.0)
    original = networks.residual_blocks_with_projection()
    graph = damaged(original)
    before, progress = error(original, graph), []
    context = context_of(original, progress=lambda what, done=0, total=0: progress.append((what, done, total)))
    log = recover(graph, data=samples(graph), epochs=8, batch=16, context=context)
    graph.tidy()
    steps = [(done, total) for what, done, total in progress if what.startswith("train, held back")]
    assert steps == [*((index, 8) for index in range(3)), *((index, 5) for index in range(5))]
    assert ", with the statistics of batches" not in log.notes[0]
    assert log.notes[1].startswith("a training with the statistics of batches was given up after 3 epochs")
    assert error(original, graph) < before


def test_zeros_of_sparsity_stay(networks):
    original = networks.plain_with_flatten(4)
    graph = original.copy()
    sparsify(graph, pattern="2:4", smallest=1, context=context_of(original))
    graph.tidy()
    zeros = {node.name: np.asarray(graph.array(node.inputs[1])) == 0 for node in graph.nodes if node.op == "Conv"}
    assert any(each.mean() == 0.5 for each in zeros.values())
    before = error(original, graph)
    options = {"rate": 3e-3, "batch": 16, "loss": "mean_squares"}
    recover(graph, data=samples(graph, 192), epochs=10, **options, context=context_of(original))
    graph.tidy()
    assert error(original, graph) < before
    for node in graph.nodes:
        if node.op == "Conv" and zeros[node.name].mean() == 0.5:
            assert (np.asarray(graph.array(node.inputs[1]))[zeros[node.name]] == 0).all()


@pytest.mark.parametrize("placement", ["onnxruntime", "tensorrt"])
def test_quantized_models_train_through_their_quantizers(networks, placement):
    original = networks.residual_blocks_with_projection(4)
    graph = damaged(original, 0.2)
    fold_batch_norm(graph)
    graph.tidy()
    quantize(graph, "int8", data=samples(graph), placement=placement, context=context_of(original))
    graph.tidy()
    trains_within_its_form(original, graph, samples(graph, 192))


@pytest.mark.parametrize("precision", ["int4", "fp8", "w4a8"])
def test_weights_of_few_bits_train(net, precision):
    n = net(opset=21)
    x = n.op("GlobalAveragePool", n.block("x", 3, 128))
    original = n.graph(n.linear(n.op("Relu", n.linear(n.op("Flatten", x), 128, 128)), 128, 32))
    fold_batch_norm(original)
    original.tidy()
    graph = original.copy()
    data = samples(graph, 192)
    quantize(graph, precision, data=None if precision == "int4" else data, context=context_of(original))
    graph.tidy()
    trains_within_its_form(original, graph, data)


def trains_within_its_form(original, graph, data):
    """Training brings results nearer, and leaves nodes and the types of values as they are."""
    before, nodes, types = error(original, graph), operators(graph), types_of(graph)
    scales, lints = scales_of(graph), findings(LoweredGraph(graph, "tensorrt", (10, 16)))
    options = {"rate": 3e-3, "batch": 16, "loss": "mean_squares"}
    log = recover(graph, data=data, epochs=10, **options, context=context_of(original))
    graph.tidy()
    assert log.changes["train weights"] > 0
    assert error(original, graph) < before
    assert operators(graph) == nodes
    assert types_of(graph) == types
    assert all(not np.array_equal(scales[name], scale) for name, scale in scales_of(graph).items())
    for bias, factors in integer_biases(graph):
        np.testing.assert_allclose(bias, factors, rtol=1e-6)
    assert findings(LoweredGraph(graph, "tensorrt", (10, 16))) == lints


def scales_of(graph):
    """The scales of quantizers by the names of their nodes, biases apart, which nothing but a product gives one."""
    quantizers = [node for node in graph.nodes if node.op in ("QuantizeLinear", "DequantizeLinear")]
    return {
        node.name: np.array(graph.array(node.inputs[1]))
        for node in quantizers
        if graph.dtype(node.inputs[0]) != np.int32
    }


def integer_biases(graph):
    """The scale of each int32 bias, and the product of the two scales of the numbers that it is added to."""
    for node in graph.nodes:
        if node.op in ("Conv", "Gemm") and len(node.inputs) > 2:
            sources = [graph.producer(value) for value in node.inputs]
            if sources[2] is not None and graph.dtype(sources[2].inputs[0]) == np.int32:
                x, weight, bias = (np.asarray(graph.array(each.inputs[1])) for each in sources)
                yield bias, x * weight


def operators(graph):
    return [(node.op, [value.name for value in node.outputs]) for node in graph.nodes]


def types_of(graph):
    return [str(graph.dtype(value)) for node in graph.nodes for value in node.inputs]


def test_several_outputs_and_what_has_no_gradient(net):
    """A segmenter beside a detector whose boxes NonMaxSuppression chooses: both heads train, by what is in front."""
    n = net()
    x = n.block("x", 3, 8)
    mask = n.op("Softmax", n.conv(x, 8, 4), axis=1)
    flat = n.op("Reshape", n.conv(n.block(x, 8, 8), 8, 8), n.ints(1, -1, 4))
    scores = n.op("Reshape", n.op("Sigmoid", n.conv(x, 8, 2)), n.ints(1, 1, -1))
    chosen = n.op("Cast", n.op("NonMaxSuppression", flat, scores, n.ints(5)), to=1)
    original = n.graph(mask, chosen)
    graph = damaged(original)
    data = samples(graph, 32)
    before = near(original, graph, mask)
    log = recover(graph, data=data, epochs=20, rate=1e-2, batch=1, context=context_of(original))
    graph.tidy()
    assert near(original, graph, mask) < 0.7 * before
    assert log.changes["train weights"] >= 8


def near(original, graph, name):
    (feed,) = samples(original, 1, seed=9).batches(1)
    expected, found = (Session(each, [name]).run(feed)[name] for each in (original, graph))
    return float(np.square(expected - found).mean())


def test_nodes_that_cannot_be_trained_are_named(net):
    n = net()
    x = n.head(n.block("x", 3, 8), 8)
    places = n.op("NonZero", x)
    late = n.op("MatMul", n.op("Cast", n.op("Transpose", places, perm=[1, 0]), to=1), n.weight(2, 3))
    original = n.graph(x, late)
    graph = damaged(original)
    log = recover(graph, data=samples(graph), epochs=1, rate=1e-3, context=context_of(original))
    reasons = {reason for _, reason in log.declined}
    assert any("its weights are not trained: it reads" in each for each in reasons)


def test_what_is_in_front_of_an_unsupported_node_trains(net):
    n = net(opset=21)
    x = n.op("AveragePool", n.block("x", 3, 8), kernel_shape=[2, 2], dilations=[2, 2])
    original = n.graph(n.conv(x, 8, 4))
    log = recover(damaged(original), data=samples(original), epochs=1, rate=1e-3, context=context_of(original))
    assert log.changes["train weights"] > 0
    ((_, reason),) = log.declined
    assert reason.startswith("its weights are not trained: it reads")


def test_labels_join_in(networks):
    original = networks.plain_with_global_pooling()
    data = samples(original, 96)
    (feed,) = data.batches(96)
    with pytest.raises(CompileError, match="needs labels, but data"):
        recover(original.copy(), data=data, labels=True, context=context_of(original))
    # Other classes than those of the original: only labels can teach them.
    wanted = (next(iter(Session(original).run(feed).values())).argmax(1) + 1) % 5
    labelled = ArrayDataset(dict(feed), wanted.astype(np.int64), "labelled samples")
    graph = original.copy()
    recover(graph, data=labelled, labels=True, epochs=15, rate=3e-2, batch=16, context=context_of(original))
    graph.tidy()
    found = next(iter(Session(graph).run(feed).values())).argmax(1)
    assert (found == wanted).mean() > 0.3
    wrong = ArrayDataset(dict(feed), np.full(96, 7), "labelled samples")
    with pytest.raises(CompileError, match="`labels` needs an output") as caught:
        recover(original.copy(), data=wrong, labels=True, context=context_of(original))
    assert caught.value.diagnostics[0].code is Code.RECOVER


def test_it_ends_when_enough_classes_agree(networks, net):
    original = networks.plain_with_global_pooling()
    options = {"epochs": 30, "rate": 1e-2, "batch": 16, "until": Ratio(0.5)}
    log = recover(damaged(original, 0.1), data=samples(original), **options, context=context_of(original))
    assert log.notes[0].startswith("trained 1 epoch of ")
    n = net()
    other = n.graph(n.conv(n.block("x", 3, 8), 8, 4))
    with pytest.raises(CompileError, match="`until` needs an output with classes"):
        recover(damaged(other), data=samples(other), until=Ratio(0.9), context=context_of(other))


def test_options_that_exclude_each_other(networks, refused):
    graph = networks.plain_with_flatten()
    with refused("error: recover takes `epochs` or `minutes`, not both\nhelp: write one of them: recover(epochs=100)"):
        recover(graph, data=samples(graph), epochs=3, minutes=1.0, context=context_of(graph))


def test_it_needs_the_model_as_read(networks):
    graph = networks.plain_with_flatten()
    with pytest.raises(CompileError, match="recover needs the model as read"):
        recover(graph, data=samples(graph), epochs=1)


KILLED = """
import sys
from pathlib import Path
import vggc.recovery.checkpoints as checkpoints
from vggc.data import ArrayDataset
from vggc.graph import Graph
from vggc.cache import Store
from vggc.passes.recover import recover
from vggc.rewrite import Context
import numpy as np

checkpoints.SECONDS = 0.0
folder = Path(sys.argv[1])
graph = Graph.load(folder / "damaged.onnx")
x = np.load(folder / "x.npy")
context = Context(original=lambda: Graph.load(folder / "original.onnx"), cache=lambda: Store(folder / "cache", 1 << 30))
log = recover(graph, data=ArrayDataset({"x": x}, None, "samples"), epochs=25, batch=16, context=context)
graph.save(folder / sys.argv[2])
print(log.notes, flush=True)
"""


def test_a_killed_run_goes_on(networks, tmp_path):
    """The weights after kill -9 and a second start are those of a run that nobody has interrupted."""
    original = networks.residual_blocks_with_projection()
    original.save(tmp_path / "original.onnx")
    damaged(original).save(tmp_path / "damaged.onnx")
    x = np.random.default_rng(0).standard_normal((64, *original.shape(original.inputs[0])[1:]), np.float32)
    np.save(tmp_path / "x.npy", x)

    def start(name):
        return subprocess.Popen(
            [sys.executable, "-P", "-c", KILLED, str(tmp_path), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    store = Store(tmp_path / "cache", 1 << 30)
    first = start("killed.onnx")
    end = time.monotonic() + 120
    while first.poll() is None and time.monotonic() < end and not epochs_kept(store):
        time.sleep(0.01)
    first.kill()
    first.communicate()
    assert not (tmp_path / "killed.onnx").exists()
    output, errors = start("resumed.onnx").communicate(timeout=300)
    assert "training went on after epoch" in output, errors
    store.clear()
    output, errors = start("whole.onnx").communicate(timeout=300)
    assert "trained 25 epochs" in output, errors
    assert (tmp_path / "resumed.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()


def test_two_processes_find_what_one_finds(networks):
    """Up to the order of sums, which after an epoch in float64 is less than float32 can hold."""
    original = networks.residual_blocks_with_projection()
    found = []
    for count in (1, 2):
        graph = damaged(original)
        options = {"epochs": 1, "rate": 3e-3, "batch": 16, "statistics": "learn", "compute": "float64"}
        with training_processes(count):
            log = recover(graph, data=samples(graph, 90), **options, context=context_of(original))
        graph.tidy()
        assert log.changes["train weights"] > 0
        found.append(numbers(graph))
    for name, array in found[0].items():
        np.testing.assert_allclose(found[1][name], array, rtol=1e-5, atol=1e-5)


def test_torchrun(networks, tmp_path):
    networks.plain_with_flatten().save(tmp_path / "model.onnx")
    np.savez(tmp_path / "calib.npz", x=np.random.default_rng(0).standard_normal((64, 3, 8, 8), np.float32))
    (tmp_path / "recipe.opt").write_text(
        'data calib = npz("calib.npz")\n'
        'sparsify(pattern="2:4", smallest=1)\n'
        "recover(data=calib, epochs=1, rate=1e-3, batch=16)\n"
        "target onnx\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "vggc"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "VGGC_CACHE": "off"}
    done = subprocess.run(
        [*command, "recipe.opt", "model.onnx", "-o", "out"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report: out") == 1
    assert (tmp_path / "out" / "model.onnx").exists()


_LEAVES = """
import sys
from pathlib import Path
import torch
from vggc.recovery.teams import join, leave

def threads():
    return [name for each in Path("/proc/self/task").glob("*/comm") if "gloo" in (name := each.read_text())]

join(0, 1, 0, sys.argv[1])

def train():
    torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 3))(torch.ones(2, 3)).sum().backward()
train()
assert threads()
leave()
print(threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads that Linux lists in /proc")
def test_a_process_that_has_left_has_no_threads_of_its_team(tmp_path):
    """Else it could be aborted at its end."""
    command = [sys.executable, "-c", _LEAVES, (tmp_path / "meeting").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_a_process_that_ends_ends_the_training(networks, monkeypatch, tmp_path):
    """In words, and the checkpoint stays."""
    from vggc.recovery import checkpoints, teams

    original = networks.plain_with_flatten()
    store = Store(tmp_path / "cache", 1 << 30)
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    started = []
    start = teams._start
    monkeypatch.setattr(teams, "_start", lambda *given: started.append(start(*given)) or started[-1])

    def progress(what, done=0, total=0):
        if what.startswith("train") and done == 3:
            started[0].kill()

    context = Context(original=original.copy, cache=lambda: store, progress=progress)
    options = {"epochs": 50, "rate": 1e-3, "batch": 16}
    with training_processes(2), pytest.raises(CompileError, match="one of the processes that train together") as ended:
        recover(damaged(original), data=samples(original), **options, context=context)
    assert "goes on from its last checkpoint" in str(ended.value.diagnostics)
    assert ended.value.diagnostics[0].code is Code.WORKER
    assert epochs_kept(store) == 3


def test_a_training_with_another_loss_begins_again(networks, tmp_path):
    original = networks.plain_with_flatten()
    store = Store(tmp_path / "cache", 1 << 30)
    notes = []
    for loss in ("kl", "mean_squares", "kl"):
        context = Context(original=original.copy, cache=lambda: store)
        options = {"epochs": 2, "rate": 1e-3, "batch": 16, "loss": loss}
        notes.append(recover(damaged(original), data=samples(original), **options, context=context).notes)
    assert [len(each) for each in notes] == [1, 1, 2]
    assert notes[2][0] == "training went on after epoch 2 of an earlier run"


def epochs_kept(store):
    """How many epochs the checkpoint in a store has."""
    from vggc.recovery.checkpoints import _unpacked

    for entry in store.entries():
        # An entry that is being written has another name.
        if entry.path.suffix == "" and (content := store.read(entry.kind, entry.path.name)) is not None:
            return _unpacked(bytes(content)).epoch
    return 0


def test_without_torch(networks, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    graph = networks.plain_with_flatten()
    with refused(
        "error: recover needs `torch`, which is not installed\nhelp: pip install torch onnxscript safetensors"
    ):
        recover(graph, data=samples(graph), epochs=1, context=context_of(graph))
