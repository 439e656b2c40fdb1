"""Check exact steps: run the models before and after them on the same inputs, and compare the results.

Consecutive exact steps form a sequence. By default, a sequence is compared once, at its end. Only when this fails, its
steps run again to find the guilty one (culprit.py). A rule with a tolerance increases the error that is allowed for its
sequence. A step that changes results on purpose ends a sequence.

The first sequence begins with the original model file, and the last one ends with the written file, so that mistakes in
reading and writing are found too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vggc.diagnostics import Code, CompileError, fail, placed
from vggc.execution.model_comparison import DoesNotRun, ModelComparison, Observe, Runnable, compare
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.health import invalidity
from vggc.graph.signature import inputs_of
from vggc.pipeline.culprit import Culprit, Inputs, Rerun, tolerance_of
from vggc.pipeline.dependencies import Dependencies
from vggc.pipeline.model import BoundStep
from vggc.pipeline.state import CompileState, Moment
from vggc.pipeline.step_cache import StepCache, restored
from vggc.report.record import StepRecord, Verification

VerifyMode = Literal["each", "end", "off"]

_DOING = "while comparing the model before and after"


@dataclass
class _Sequence:
    """Consecutive exact steps. `start` is the model before them, and `file` the same model as a file."""

    start: Moment
    before: Runnable | None = None
    file: Path | None = None
    steps: list[BoundStep] = field(default_factory=list)
    tolerance: float = 0.0


class Verifier:
    """Keeps the model at the start of the current sequence, and compares at its end.

    `graph` is the graph that was read from the model `file`; `start` reads it again. `cache` has the results of
    comparisons that earlier compiles have made on the same data, which `dependencies` describe.
    """

    def __init__(
        self,
        mode: VerifyMode,
        inputs: Inputs,
        *,
        graph: Graph,
        file: Path,
        start: Moment,
        rerun: Rerun,
        cache: StepCache,
        dependencies: Dependencies,
    ) -> None:
        self._mode = mode
        self._inputs = inputs
        self._model = file
        self._as_read = start
        self._sequence = _Sequence(start, Runnable.of_file(file, graph), file)
        self._file = self._sequence.before
        self._rerun = rerun
        self._cache = cache
        self._dependencies = dependencies
        self.records: list[Verification] = []
        self.warnings: list[str] = []

    @property
    def inputs(self) -> str:
        """A description of the inputs on which models are compared."""
        return self._inputs.description

    def session_of_file(self) -> Session:
        """A session of the model as read: of its file, or of vggc's graph when onnxruntime refuses the file."""
        return self._loaded(_Sequence(self._as_read, self._file, self._model))[1]

    @property
    def start_key(self) -> str | None:
        """The key of the model with which the files that are written are compared."""
        return self._sequence.start.key

    def stepped(self, step: BoundStep, record: StepRecord, state: CompileState) -> None:
        """Record that an exact step has changed the graph."""
        if self._mode == "off":
            return
        self._sequence.steps.append(step)
        self._sequence.tolerance += tolerance_of(step, record)
        if self._mode == "each":
            self.finish(state.now())
            self.restart(state)

    def restart(self, state: CompileState) -> None:
        """Begin a new sequence with the graph as it is now."""
        if self._mode != "off":
            self._sequence = _Sequence(state.held())

    def finish(self, now: Moment, written: Path | None = None, observe: Observe | None = None) -> None:
        """End the sequence with the model as it is now, or with the file that was written from it.

        `observe` is called with the outputs of both models. Raises CompileError at the step that changed the model's
        results, or broke it; without a place when reading or writing the model did this.
        """
        sequence = self._sequence
        if self._mode == "off" or not (sequence.steps or written):
            return
        parts = ("verification", sequence.start.key, now.key, self._dependencies.of_first_data())
        known = None if written or observe else self._cache.find_check(*parts)
        if known is not None:
            self.warnings += known["warnings"]
            self.records.append(restored(Verification, known["record"]))
            sequence.steps, sequence.tolerance = [], 0.0
            return
        graph, warned = now.graph(), len(self.warnings)
        after = Runnable.of_file(written, graph) if written else Runnable.of(graph)
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
            names = _names(sequence)
            self.records.append(Verification(names, self._inputs.description, comparison.error, comparison.tolerance))
        if not comparison.ok:
            raise self._blame(sequence, comparison)
        if not written and not observe:
            self._cache.keep_check({"record": asdict(self.records[-1]), "warnings": self.warnings[warned:]}, *parts)
        sequence.steps, sequence.tolerance = [], 0.0

    def _loaded(self, sequence: _Sequence) -> tuple[Runnable, Session]:
        """The model at the start of a sequence. It is vggc's graph when onnxruntime refuses the file."""
        if sequence.before is None:
            sequence.before = Runnable.of(sequence.start.graph())
        try:
            return sequence.before, sequence.before.load("none")
        except CompileError as error:
            if sequence.file is None:
                raise
            before = Runnable.of(sequence.start.graph())
            session = before.load("none")
            self.warnings.append(
                f"onnxruntime cannot load `{sequence.file}` ({error.diagnostics[0].message}), so the results were "
                "compared with those of the graph that vggc read from it"
            )
            sequence.before, sequence.file = before, None
            return before, session

    def _blame(self, sequence: _Sequence, wrong: ModelComparison | DoesNotRun) -> CompileError:
        """The error for the step, or the reading or writing, that changed the results of the model."""
        reason = invalidity(self._model)
        culprit = Culprit(sequence.start.graph, sequence.steps, self._rerun, self._inputs)
        found = culprit.find()
        if reason and (found is None or "please report" in found.diagnostics[0].help):
            return fail(
                f"the model is not valid ONNX: {reason}",
                help="export it again; nothing was written",
                code=Code.INVALID_MODEL,
            )
        return found or culprit.of_files(wrong)


def _names(sequence: _Sequence) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.name for step in sequence.steps))


def _nobody(name: str, expected: Any, got: Any) -> None:
    """Ignore the outputs of the models."""
