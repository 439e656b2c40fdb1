"""What a search is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Sampler = Literal["tpe", "nsga2", "random", "grid"]
Keep = Literal["best", "front", "all"]

SAMPLERS: tuple[Sampler, ...] = ("tpe", "nsga2", "random", "grid")
KEPT: tuple[Keep, ...] = ("best", "front", "all")


@dataclass(frozen=True)
class Settings:
    """How to search.

    trials     the number of trials
    minutes    no trial begins later than this after the start; None for no limit
    seed       the same seed suggests the same trials in the same order
    sampler    how the values of trials are chosen
    batch      trials that are suggested at once, from the results of all batches before
    keep       of which trials the whole output is written: of the best one, of the front, or of all
    on         where trials run: "here", "processes=N", "ray" for a new local cluster, or "ray=ADDRESS"
    resources  what a trial needs of a worker of the cluster, by Ray's names: {"GPU": 1}
    """

    trials: int = 40
    minutes: float | None = None
    seed: int = 0
    sampler: Sampler = "tpe"
    batch: int = 4
    keep: Keep = "front"
    on: str = "here"
    resources: Mapping[str, float] = field(default_factory=dict)
