"""Which trials are the result."""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vggc.pipeline.model import Direction
from vggc.report.record import Objective, Requirement
from vggc.trials.front import best_of, front_of, nearest_of
from vggc.trials.outcome import Outcome, comparable, numbers, reference_times

WAYS: list[Direction] = ["minimize", "maximize"]


def objective(text: str, value: float | None, **more: Any) -> Objective:
    return Objective("r.opt:1", "minimize", text, str(value), "", value, **{"first": None, "kind": "number", **more})


def trial(number: int, *values: float | None, **more: Any) -> Outcome:
    return Outcome(number, {}, "held", [objective(f"m{at}", value) for at, value in enumerate(values)], **more)


def gated(number: int, held: int, value: float, limit: float) -> Outcome:
    gates = [Requirement("r.opt:1", "a >= b", "", "", "held", 1.0, 1.0, "number", 1)] * held
    failed = Requirement("r.opt:2", "c >= d", "", "", "failed", value, limit, "number", 1)
    return Outcome(number, {}, "gate", requirements=[*gates, failed])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_is_what_nothing_beats(values: list[tuple[int, int]]) -> None:
    trials = [trial(at, *map(float, pair)) for at, pair in enumerate(values)]
    front = {each.number for each in front_of(trials, WAYS)}
    for first, second in product(range(len(values)), repeat=2):
        (low, high), (cost, gain) = values[first], values[second]
        if low <= cost and high >= gain and ((low, high) != (cost, gain) or first < second):
            assert second not in front
    beaten = set(range(len(values))) - front
    assert all(
        any(values[by][0] <= values[each][0] and values[by][1] >= values[each][1] for by in front) for each in beaten
    )


def test_trials_that_did_not_hold_are_not_on_the_front() -> None:
    outcomes = [trial(0, 5.0), gated(1, 0, 1, 2), trial(2, None), trial(3, float("nan"))]
    assert [each.number for each in front_of(outcomes, ["minimize"])] == [0]


def test_the_best_is_nearest_to_the_best_of_all() -> None:
    trials = [trial(0, 0.0, 0.0), trial(1, 10.0, 0.9), trial(2, 100.0, 1.0)]
    assert best_of(front_of(trials, WAYS), WAYS) is trials[1]
    assert best_of([trials[2]], WAYS) is trials[2]
    assert best_of([], WAYS) is None


def test_the_nearest_got_farthest() -> None:
    near, far, early = gated(3, 2, 0.98, 1.0), gated(1, 2, 0.5, 1.0), gated(0, 1, 0.999, 1.0)
    failed = Outcome(2, {}, "error", message="no")
    assert nearest_of([failed, early, far, near]) is near
    assert nearest_of([failed]) is failed
    assert near.shortfall < far.shortfall < failed.shortfall


def test_times_are_compared_by_the_time_of_the_model_as_read() -> None:
    calm = Outcome(0, {}, "held", [objective("latency", 2.0, first=4.0, noise=0.01, kind="seconds")])
    busy = Outcome(1, {}, "held", [objective("latency", 9.0, first=12.0, noise=0.01, kind="seconds")])
    reference = reference_times([busy, calm])
    assert reference == {"latency": 4.0}
    assert numbers(comparable(busy, reference)) == [3.0]
    assert comparable(calm, reference) == calm
    assert Outcome.from_dict(busy.as_dict()) == busy
