"""Which trials are the result: those that no other one beats, the best of them, and the nearest when none held."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vggc.pipeline.model import Direction
from vggc.trials.outcome import Outcome, numbers


def front_of(outcomes: Sequence[Outcome], directions: Sequence[Direction]) -> list[Outcome]:
    """The trials that are not worse than another trial in every objective, the best in the first objective first.

    Of trials with the same values in all objectives, only the first belongs to the front.
    """
    held = [(each, points) for each in outcomes if (points := losses(each, directions)) is not None]
    held.sort(key=lambda pair: (pair[1], pair[0].number))
    front: list[tuple[Outcome, tuple[float, ...]]] = []
    for outcome, points in held:
        # Sorted by their values, a trial can only be beaten by one before it.
        if not any(_covers(better, points) for _, better in front):
            front.append((outcome, points))
    return [outcome for outcome, _ in front]


def best_of(front: Sequence[Outcome], directions: Sequence[Direction]) -> Outcome | None:
    """The trial of the front that is nearest to the best value of every objective, each scaled by the front's width."""
    if not front:
        return None
    points = [losses(each, directions) or () for each in front]
    lows = [min(column) for column in zip(*points, strict=True)]
    widths = [(max(column) - min(column)) or 1.0 for column in zip(*points, strict=True)]

    def distance(at: int) -> float:
        return math.hypot(*((value - low) / width for value, low, width in zip(points[at], lows, widths, strict=True)))

    return front[min(range(len(front)), key=distance)]


def nearest_of(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The trial that came nearest to the goals: by how many requirements held, then by the one that was not met."""
    return min(outcomes, key=lambda each: (-each.held, each.shortfall, each.number), default=None)


def losses(outcome: Outcome, directions: Sequence[Direction]) -> tuple[float, ...] | None:
    """The values of the objectives with signs such that less is better; None for a trial that did not hold."""
    found = numbers(outcome)
    if found is None:
        return None
    return tuple(value if way == "minimize" else -value for value, way in zip(found, directions, strict=True))


def _covers(better: tuple[float, ...], worse: tuple[float, ...]) -> bool:
    return all(first <= second for first, second in zip(better, worse, strict=True))
