"""Rows of a node over all samples, batch by batch: what goes in, and what should come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vggc.graph.arrays import Float64, Floats

_Numbers = TypeVar("_Numbers", Floats, Float64)


@dataclass(frozen=True, eq=False)
class BatchRows:
    """Rows of a batch: inputs (blocks, rows, width), what is added to the results, and what should come out.

    `offset` and `target` are (rows, blocks * outputs); an offset of None is zero.
    """

    inputs: Floats
    offset: Floats | None
    target: Floats

    @property
    def wanted(self) -> Floats:
        """What the product itself should be: (rows, blocks * outputs)."""
        return self.target if self.offset is None else self.target - self.offset


_LEAST, _MOST = 8 << 20, 48 << 20
"""Bytes of rows that are worked on together, at least and at most."""


def piece_bytes(blocks: int, width: int) -> int:
    """How many bytes of rows (blocks, rows, width) are worth a product of their own.

    A product of a few long rows with themselves costs more for adding it up than for the product: of half as many rows
    as columns, a tenth.
    """
    return max(_LEAST, min(_MOST, 2 * blocks * width**2))


def gathered(batches: Iterable[BatchRows]) -> Iterator[BatchRows]:
    """The rows of small batches together, in pieces that are worth a product."""
    held: list[BatchRows] = []
    for batch in batches:
        held.append(batch)
        blocks, _, width = batch.inputs.shape
        if sum(each.inputs.nbytes for each in held) >= piece_bytes(blocks, width):
            yield joined(held)
            held = []
    if held:
        yield joined(held)


def joined(batches: Sequence[BatchRows]) -> BatchRows:
    """The rows of all batches as those of one."""
    offsets = [each.offset for each in batches if each.offset is not None]
    return BatchRows(
        np.concatenate([each.inputs for each in batches], axis=1),
        np.concatenate(offsets) if offsets else None,
        np.concatenate([each.target for each in batches]),
    )


RowBatches = Callable[[], Iterable[BatchRows]]

Gate = tuple[float, float]
"""The lowest and the highest number that an activation lets through."""


def by_block(results: _Numbers, blocks: int) -> _Numbers:
    """Results (rows, blocks * outputs) as (blocks, rows, outputs)."""
    return results.reshape(len(results), blocks, -1).transpose(1, 0, 2)


def reachable(target: _Numbers, reached: _Numbers, gate: Gate) -> tuple[_Numbers, float]:
    """Targets, of any shape, as a solution that gives `reached` should see them, and its squared error.

    Behind an activation any number beyond the same limit as the target will do, so there the target is what is reached,
    and the error is that of what the activation lets through.
    """
    wanted, seen = np.clip(target, *gate), np.clip(reached, *gate)
    beyond = reached - seen
    seen -= wanted
    # A product with truth values takes a third of the time of a choice by them.
    beyond *= seen == 0
    wanted += beyond
    return wanted, float(np.vdot(seen, seen))
