"""Checking steps: the model before and after them is run on the same inputs and compared.

Steps that keep what the model computes form a sequence. By default a sequence is compared once, at its end; only when
that fails are its steps run again to find the guilty one (culprit.py). A rule with a tolerance widens what its sequence
may differ by. A step that changes results on purpose ends a sequence.

The first sequence begins at the model file as onnxruntime reads it, and the last one ends at the file that was written:
a mistake in reading or writing shows as one in rewriting does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vggc.diagnostics import CompileError, fail, placed
from vggc.execution.model_comparison import DoesNotRun, ModelComparison, Observe, Runnable, coarsest, compare
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.health import invalidity
from vggc.graph.signature import inputs_of
from vggc.pipeline.culprit import Culprit, Inputs, Rerun, tolerance_of
from vggc.pipeline.model import BoundStep
from vggc.report.record import StepRecord, Verification

VerifyMode = Literal["each", "end", "off"]

_DOING = "while comparing the model before and after"


@dataclass
class _Sequence:
    """Steps that keep what the model computes; `file` is the model before them as a file, `start` as a graph."""

    start: Callable[[], Graph]
    before: Runnable | None = None
    file: Path | None = None
    steps: list[BoundStep] = field(default_factory=list)
    tolerance: float = 0.0


class Verifier:
    """Keeps the model at the start of the current sequence, and compares at its end.

    `graph` is what has been read of the model `file`; `start` reads it again.
    """

    def __init__(
        self,
        mode: VerifyMode,
        inputs: Inputs,
        *,
        graph: Graph,
        file: Path,
        start: Callable[[], Graph],
        rerun: Rerun,
    ) -> None:
        self._mode = mode
        self._inputs = inputs
        self._model = file
        self._as_read = start
        self._sequence = _Sequence(start, Runnable.of_file(file, coarsest(graph)), file)
        self._rerun = rerun
        self.records: list[Verification] = []
        self.warnings: list[str] = []

    @property
    def inputs(self) -> str:
        """What models are compared on."""
        return self._inputs.description

    def session_of_file(self) -> Session:
        """The model as read, loaded: from its file, or where onnxruntime refuses that, as vggc reads it."""
        return self._loaded(_Sequence(self._as_read, Runnable.of_file(self._model, 0.0), self._model))[1]

    def stepped(self, step: BoundStep, record: StepRecord, graph: Graph) -> None:
        """A step that keeps what the model computes has changed `graph`."""
        if self._mode == "off":
            return
        self._sequence.steps.append(step)
        self._sequence.tolerance += tolerance_of(step, record)
        if self._mode == "each":
            self.finish(graph)
            self.restart(graph)

    def restart(self, graph: Graph) -> None:
        """What follows is compared with `graph` as it is now."""
        if self._mode != "off":
            copy = graph.copy()
            self._sequence = _Sequence(lambda: copy)

    def finish(self, graph: Graph, written: Path | None = None, observe: Observe | None = None) -> None:
        """End the sequence at `graph`, or at the file that was written of it.

        `observe` is called with what both models compute. Raises CompileError at the step that changed the model's
        results, or broke it; at no step where reading or writing the model did.
        """
        sequence = self._sequence
        if self._mode == "off" or not (sequence.steps or written):
            return
        after = Runnable.of_file(written, coarsest(graph)) if written else Runnable.of(graph)
        try:
            before, session = self._loaded(sequence)
            feeds = self._inputs.feeds(inputs_of(graph), session)
            comparison = compare(
                before, after, feeds, session=session, tolerance=sequence.tolerance, observe=observe or _nobody
            )
        except DoesNotRun as error:
            raise self._blame(sequence, error) from None
        except CompileError as error:
            raise placed(error, sequence.steps[-1].span, _DOING) if sequence.steps else error from None
        self.warnings += comparison.warnings
        if sequence.steps:
            names = tuple(dict.fromkeys(step.name for step in sequence.steps))
            self.records.append(Verification(names, self._inputs.description, comparison.error, comparison.tolerance))
        if not comparison.ok:
            raise self._blame(sequence, comparison)
        sequence.steps, sequence.tolerance = [], 0.0

    def _loaded(self, sequence: _Sequence) -> tuple[Runnable, Session]:
        """The model at the start of a sequence; as vggc reads it where onnxruntime refuses the file itself."""
        if sequence.before is None:
            sequence.before = Runnable.of(sequence.start())
        try:
            return sequence.before, sequence.before.load("none")
        except CompileError as error:
            if sequence.file is None:
                raise
            before = Runnable.of(sequence.start())
            session = before.load("none")
            self.warnings.append(
                f"onnxruntime does not load `{sequence.file}` as it stands ({error.diagnostics[0].message}), so that "
                "results were compared with those of the model as vggc reads it"
            )
            sequence.before, sequence.file = before, None
            return before, session

    def _blame(self, sequence: _Sequence, wrong: ModelComparison | DoesNotRun) -> CompileError:
        """The error for whatever made the model compute something else."""
        reason = invalidity(self._model)
        culprit = Culprit(sequence.start, sequence.steps, self._rerun, self._inputs)
        found = culprit.find()
        if reason and (found is None or "please report" in found.diagnostics[0].help):
            return fail(f"the model is not valid ONNX: {reason}", help="export it again; nothing was written")
        return found or culprit.of_files(wrong)


def _nobody(name: str, expected: Any, got: Any) -> None:
    """Nobody wants to know what the models compute."""
