"""Quantizing until a goal for agreement holds: what is given back, in which order, in which precision."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import onnx.parser
import pytest

from vggc.calibration.samples import Samples
from vggc.data import Dataset
from vggc.data.arrays import ArrayDataset
from vggc.graph import Graph
from vggc.passes.cast import cast
from vggc.passes.quantize import quantize
from vggc.quantization import mixed_precision
from vggc.quantization.mixed_precision import agreement, by_error_for_time, divided, fewest_left
from vggc.quantization.node_sensitivity import results
from vggc.quantization.precisions import FORMATS
from vggc.rewrite import Context, Destination
from vggc.values import Ratio

Rows = Callable[[int], Dataset]
FOR_TENSORRT = Context(targets=(Destination("tensorrt_rtx", {"compute": ["sm89", "sm86"]}),))


def set_times(monkeypatch: pytest.MonkeyPatch, **saved: float) -> None:
    """Have the CPU measure these seconds saved, by the value that a product computes."""
    monkeypatch.setattr(mixed_precision, "saved_on_cpu", lambda *_: saved)


def agreement_with_float(before: Graph, after: Graph, data: Dataset) -> float:
    after.tidy()
    return agreement(*(results(each, Samples(before, data), ["y"]) for each in (before, after)))


def test_the_most_error_for_the_time_comes_first() -> None:
    errors = {"a": 1.0, "b": 4.0, "c": 2.0, "d": 9.0, "e": 0.5, "f": 0.1}
    saved = {"a": 0.1, "b": 2.0, "c": 0.5, "d": 0.0, "e": -1.0, "f": 1.0}
    # d and e save nothing; then 10, 4, 2 and 0.1 by the second.
    assert by_error_for_time(errors, saved) == ["d", "e", "a", "c", "b", "f"]


@pytest.mark.parametrize("needed", range(1, 8))
def test_as_few_as_necessary_are_given_back_in_few_trials(needed: int) -> None:
    tried: list[int] = []

    def trial(count: int) -> float:
        tried.append(count)
        return 0.9 + count / 100

    assert fewest_left(trial, 7, 0.9 + needed / 100) == (needed, 0.9 + needed / 100)
    assert tried[0] == 1
    assert len(tried) <= 6


def test_a_goal_that_most_do_not_reach_is_not_searched_for() -> None:
    tried: list[int] = []
    assert fewest_left(lambda count: tried.append(count) or 0.5, 7, 0.9) == (7, 0.5)  # type: ignore[func-returns-value]
    assert tried == [1, 2, 4, 7]


@pytest.mark.parametrize(("count", "held_back"), [(128, 32), (16, 4), (4, 1), (3, 3)])
def test_a_quarter_is_held_back_from_what_calibrates(three_products: Graph, count: int, held_back: int) -> None:
    samples = Samples(
        three_products, ArrayDataset({"x": np.arange(32 * count, dtype=np.float32).reshape(-1, 32)}, None, "")
    )
    judge, learn = ({float(row[0]) for batch in part for row in batch["x"]} for part in divided(samples))
    assert len(judge) == held_back
    assert judge | learn == {32.0 * row for row in range(count)}
    # Where there are too few, the same ones serve for both.
    assert judge == learn or not judge & learn


def test_only_the_worst_is_left_in_float(three_products: Graph, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, a0=1e-3, b0=1e-3, c=1e-3)
    data, before, whole = rows(256), three_products.copy(), three_products.copy()
    quantize(whole, "int8", data=data)
    assert agreement_with_float(before, whole, data) < 0.9
    log = quantize(three_products, "int8", data=data, agreement=Ratio(0.95))
    assert agreement_with_float(before, three_products, data) >= 0.95
    assert log.changes["quantize weights"] == 2
    assert ("MatMul of `b0`", "it is not quantized, to reach the agreement") in log.declined
    first, *others = log.precisions
    assert (first.node, first.precision, first.milliseconds) == ("MatMul of `b0`", "float", 1.0)
    assert {each.precision for each in others} == {"int8"}
    assert first.error > max(each.error for each in others)
    (note,) = (each for each in log.notes if each.startswith("agreement"))
    assert "on 64 samples held back of data `data`" in note
    assert note.endswith(
        "1 of 3 nodes stay in a higher precision; quantizing the others saves 2 ms for one sample, and all of them "
        "3 ms (measured on this CPU)"
    )


def test_what_saves_no_time_is_given_back_first(
    three_products: Graph, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_times(monkeypatch, a0=-1e-3, b0=1e-3, c=1e-3)
    log = quantize(three_products, "int8", data=rows(256), agreement=Ratio(0.95))
    assert [(each.node, each.precision) for each in log.precisions] == [
        ("MatMul of `a0`", "float"),
        ("MatMul of `b0`", "float"),
        ("MatMul of `c`", "int8"),
    ]


def test_what_reaches_the_goal_is_quantized_whole(three_products: Graph, rows: Rows) -> None:
    log = quantize(three_products, "int8", data=rows(64), agreement=Ratio(0.01))
    assert log.changes["quantize weights"] == 3
    assert log.precisions == []
    assert any(each.endswith("with all nodes quantized") for each in log.notes)


def test_the_cpu_measures_each_product(three_products: Graph, rows: Rows) -> None:
    log = quantize(three_products, "int8", data=rows(64), agreement=Ratio(0.95))
    assert sorted(each.node for each in log.precisions) == ["MatMul of `a0`", "MatMul of `b0`", "MatMul of `c`"]
    assert any(each.milliseconds for each in log.precisions)


def test_a_goal_that_is_not_reached_is_an_error(
    three_products: Graph,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
    refused: Callable[[str], AbstractContextManager[None]],
) -> None:
    set_times(monkeypatch, a0=1.0, b0=1.0, c=1.0)
    reached = iter([0.5, 0.6, 0.75])
    monkeypatch.setattr(mixed_precision, "agreement", lambda *_: next(reached))
    with refused(
        "error: an agreement of 99.00% is not reached\n"
        " = reached: 75.00% on 64 samples held back of data `data`, with all nodes but one left in a higher "
        "precision\n"
        " = reached: 50.00% with all nodes quantized\n"
        "help: ask for less, or leave the model in float"
    ):
        quantize(three_products, "int8", data=rows(256), agreement=Ratio(0.99))


def test_a_goal_finer_than_a_sample_is_warned_of(
    three_products: Graph, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_times(monkeypatch, a0=1.0, b0=1.0, c=1.0)
    log = quantize(three_products, "int8", data=rows(128), agreement=Ratio(0.98))
    assert log.warnings == [
        "one of the 32 samples held back of data `data` is 3.1% of them, so an agreement of 98.00% needs all of them: "
        "use more samples"
    ]


def types(graph: Graph) -> dict[str, Any]:
    """The types in which products compute, by the value that each computes in the float model."""
    return {
        node.outputs[0].name.removesuffix("_float16"): graph.dtype(node.inputs[0])
        for node in graph.nodes
        if node.op == "MatMul"
    }


@pytest.fixture
def goal_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that agree as soon as one product is given back."""
    reached = iter([0.5, 1.0])
    monkeypatch.setattr(mixed_precision, "agreement", lambda *_: next(reached))


def test_tensorrt_gets_fp16_for_what_is_given_back(three_products: Graph, rows: Rows, goal_in_the_middle: None) -> None:
    # The product of 8 columns is too narrow for TensorRT's int8 kernels, so two can be quantized.
    log = quantize(three_products, "int8", data=rows(256), agreement=Ratio(0.95), context=FOR_TENSORRT)
    three_products.tidy()
    assert [each.precision for each in log.precisions] == ["fp16", "int8"]
    given_back = log.precisions[0].node.split("`")[1]
    assert {name for name, dtype in types(three_products).items() if dtype == np.float16} == {given_back}
    assert any("(estimated for sm86)" in each for each in log.notes)
    # The activation in its kernel computes in fp16, too; cast then joins it to the others without a detour.
    assert sum(node.op == "Cast" for node in three_products.nodes) == 2
    assert not [what for what, _ in cast(three_products, "fp16").declined if what.startswith("Cast")]
    three_products.tidy()
    assert {dtype.name for dtype in types(three_products).values()} == {"float16"}
    assert [node.op for node in three_products.nodes if node.op == "Cast"] == ["Cast", "Cast"]
    found = results(three_products, Samples(three_products, rows(8)), ["y"])
    assert np.isfinite(found[0]).all()


@pytest.mark.parametrize("three_products", [1e5], indirect=True)
def test_what_fp16_cannot_hold_stays_in_float(three_products: Graph, rows: Rows, goal_in_the_middle: None) -> None:
    log = quantize(three_products, "int8", data=rows(256), agreement=Ratio(0.95), context=FOR_TENSORRT)
    assert (log.precisions[0].node, log.precisions[0].precision) == ("MatMul of `b0`", "float")
    (reason,) = (why for what, why in log.declined if why.startswith("it stays in float32"))
    assert "float16 ends at" in reason


def test_trials_are_for_the_targets_of_the_recipe(
    three_products: Graph, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(FORMATS, ("int8", "onnxruntime"))
    log = quantize(three_products, "int8", data=rows(64), agreement=Ratio(0.01), context=FOR_TENSORRT)
    assert log.changes["quantize weights"]


def test_agreement_counts_samples_that_all_outputs_agree_on() -> None:
    one = [np.array([[1, 2], [2, 1], [0, 1]], np.float32), np.array([[1, 2, 3], [3, 2, 1], [1, 3, 2]], np.float32)]
    other = [np.array([[1, 3], [2, 1], [1, 0]], np.float32), np.array([[1, 2, 3], [1, 3, 2], [1, 3, 2]], np.float32)]
    assert agreement(one, other) == pytest.approx(1 / 3)


def test_agreement_on_an_output_of_many_places_is_the_share_of_them() -> None:
    one = np.zeros((2, 3, 4), np.float32)
    other = one.copy()
    other[1, 2, :3] = 1
    assert agreement([one], [other]) == 5 / 8


def test_agreement_needs_classes(rows: Rows, refused: Callable[[str], AbstractContextManager[None]]) -> None:
    norm = "g (float[N,32] x) => (float[N] y) { y = ReduceL2 <axes = [1], keepdims = 0> (x) }"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {norm}')
    with refused(
        "error: no output of the model chooses among classes, so there is no agreement to reach\n"
        "help: leave out `agreement`, and check the model with a measure: require sqnr(...) >= 30"
    ):
        quantize(Graph.from_model(model), "int8", data=rows(64), agreement=Ratio(0.99))
