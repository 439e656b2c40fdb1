"""Rows of a node over all samples, batch by batch: what goes in, and what should come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vggc.graph.arrays import Floats


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


_PIECE = 16 << 20
"""Bytes of rows that are worked on together: small pieces cost more for sums than for products."""


def gathered(batches: Iterable[BatchRows]) -> Iterator[BatchRows]:
    """The rows of small batches together, in pieces of _PIECE bytes or more."""
    held: list[BatchRows] = []
    for batch in batches:
        held.append(batch)
        if sum(each.inputs.nbytes for each in held) >= _PIECE:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(batches: list[BatchRows]) -> BatchRows:
    offsets = [each.offset for each in batches if each.offset is not None]
    return BatchRows(
        np.concatenate([each.inputs for each in batches], axis=1),
        np.concatenate(offsets) if offsets else None,
        np.concatenate([each.target for each in batches]),
    )


RowBatches = Callable[[], Iterable[BatchRows]]
