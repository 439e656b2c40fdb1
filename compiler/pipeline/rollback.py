"""Go back to the graph of the last requirement that held."""

from __future__ import annotations

from collections.abc import Sequence

from vggc.pipeline.state import CompileState, Moment
from vggc.report.record import StepRecord


class Rollback:
    """Keeps the moment of the last requirement that held. Before the first one, this is the model as read.

    Nothing is copied unless `needed`, because most recipes cannot roll back.
    """

    def __init__(self, state: CompileState, *, needed: bool) -> None:
        self._state = state
        self._moment: Moment = state.original_moment()
        self._needed = needed
        self._steps = 0

    def keep(self, steps: Sequence[StepRecord]) -> None:
        """Record that a requirement holds after `steps`."""
        self._steps = len(steps)
        if self._needed:
            self._moment = self._state.held()

    def restore(self, steps: Sequence[StepRecord]) -> None:
        """Go back to the last requirement that held. Marks the steps since then as undone."""
        for record in steps[self._steps :]:
            record.undone = True
        self._steps = len(steps)
        self._state.restored(self._moment)
