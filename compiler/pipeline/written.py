"""Check every written model file before the output folder appears.

For every value of `--verify`, the file is loaded in onnxruntime, and its inputs and outputs are compared with those of
the original model file. The first written file also ends the verifier's last sequence, so that the comparison uses the
file that a runtime will read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import onnx

from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.diagnostics.progress import Progress
from vggc.execution.output_fidelity import Fidelities
from vggc.execution.session import Session, check_loadable
from vggc.graph import Graph, Written
from vggc.graph.fingerprint import fingerprint
from vggc.graph.signature import inputs_of, type_text
from vggc.graph.wire import read_skeleton
from vggc.pipeline.fidelity import measure, warning
from vggc.pipeline.runner import Runner
from vggc.pipeline.step_cache import StepCache, restored
from vggc.report.record import Fidelity, Report, Verification


class WrittenModels:
    """The check of the files that one compile writes. It is called with each file."""

    def __init__(
        self,
        model: Path,
        graph: Graph,
        runner: Runner,
        report: Report,
        *,
        cache: StepCache,
        progress: Progress,
    ) -> None:
        self._model = model
        self._graph = graph
        self._runner = runner
        self._report = report
        self._cache = cache
        self._progress = progress
        self._seen: set[tuple[str, ...]] = set()
        self.warnings: list[str] = []

    def __call__(self, written: Sequence[Written]) -> None:
        """Raise CompileError when the file is wrong. `written` is the model, then its external data."""
        hashes = tuple(each.sha256 for each in written)
        if hashes in self._seen:
            return
        path = written[0].path
        self._progress.begin("checking the written model")
        self._same_interface(path)
        if self._seen or self._report.verify == "off":
            self._loads(path)
        else:
            self._compare(written)
        self._seen.add(hashes)

    def finish(self) -> None:
        """Compare the graph in memory when no target has written the model."""
        if not self._seen and self._report.verify != "off":
            self._progress.begin("checking the model")
            self._compare([])

    def _compare(self, written: Sequence[Written]) -> None:
        """End the last sequence of exact steps, and measure how much the model differs from the model as read."""
        verifier = self._runner.verifier
        parts = (
            "written",
            verifier.start_key,
            self._runner.state.key,
            self._content(written),
            self._runner.dependencies.of_all_data(),
        )
        known = self._cache.find_check(*parts)
        if known is not None:
            verifier.records += restored(list[Verification], known["records"])
            verifier.warnings += known["verifier_warnings"]
            self._judged(restored(Fidelity, known["fidelity"]), known["warnings"])
            return
        records, warned = len(verifier.records), len(verifier.warnings)
        fidelity, warnings = self._measured(written[0].path if written else None)
        self._judged(fidelity, warnings)
        if fidelity is not None:
            content = {
                "records": [asdict(each) for each in verifier.records[records:]],
                "verifier_warnings": verifier.warnings[warned:],
                "fidelity": asdict(fidelity),
                "warnings": warnings,
            }
            self._cache.keep_check(content, *parts)

    def _content(self, written: Sequence[Written]) -> str | None:
        """A hash of what the file computes, without the recipe's lines in it; None when it cannot be found again."""
        if self._runner.state.key is None:
            return None
        try:
            return fingerprint(Graph.load(written[0].path)) if written else ""
        except CompileError:
            # The comparison says what is wrong with the file.
            return None

    def _judged(self, fidelity: Fidelity | None, warnings: list[str]) -> None:
        self._report.fidelity = fidelity
        self.warnings += warnings

    def _measured(self, path: Path | None) -> tuple[Fidelity | None, list[str]]:
        """How much the model differs from the model as read, and warnings; None when the two cannot be compared."""
        sums = Fidelities()
        lossy = any(not step.exact and step.total and not step.undone for step in self._report.steps)
        verifier = self._runner.verifier
        verifier.finish(self._runner.state.now(), path, None if lossy else sums.add)
        if not lossy:
            return Fidelity(verifier.inputs, sums.outputs()), []
        self._progress.begin("comparing with the model as read")
        signature = tuple(inputs_of(self._graph))
        inputs, data = self._runner.samples.to_judge(signature, self._report.steps[0].before.macs)
        try:
            before, after = verifier.session_of_file(), Session(path or self._graph)
            fidelity = Fidelity(inputs, measure(before, after, signature, data).outputs())
        except CompileError as error:
            reason = error.diagnostics[0].message
            return None, [f"the compiled model could not be compared with the model as read: {reason}"]
        far = warning(fidelity)
        return fidelity, [far] if far else []

    def _loads(self, path: Path) -> None:
        try:
            check_loadable(path)
            return
        except CompileError as error:
            reason = error.diagnostics[0]
        try:
            check_loadable(self._model)
        except CompileError:
            # Both models have operators that onnxruntime does not support.
            self.warnings.append(
                f"onnxruntime can load neither the model as read nor the compiled model: {reason.message}"
            )
            return
        facts = (("note", reason.message), *reason.facts)
        help = "nothing was written; compile without --verify off to find the step that caused this"
        raise CompileError(
            Diagnostic("the compiled model does not load in onnxruntime", facts=facts, help=help, code=Code.NOT_WRITTEN)
        )

    def _same_interface(self, path: Path) -> None:
        """Raise CompileError when inputs or outputs have other names, types or ranks than in the model as read."""
        before, after = read_skeleton(self._model).model, read_skeleton(path).model
        given = {each.name for each in before.graph.initializer}
        inputs = [each for each in before.graph.input if each.name not in given or _is_input(after, each.name)]
        for kind, old, new in (
            ("inputs", inputs, after.graph.input),
            ("outputs", before.graph.output, after.graph.output),
        ):
            was, now = [_shown(each) for each in old], [_shown(each) for each in new]
            if was != now and not _unknown_before(old, new):
                raise fail(
                    f"the {kind} of the compiled model differ from those of the model as read",
                    facts=(("before", ", ".join(was) or "none"), ("after", ", ".join(now) or "none")),
                    help="nothing was written; a pass must keep the names and types of inputs and outputs",
                    code=Code.INTERFACE,
                )
        self.warnings += _lost(before, after)
        if not self._runner.sets_inputs:
            self._same_sizes(inputs, list(after.graph.input))

    def _same_sizes(self, before: list[onnx.ValueInfoProto], after: list[onnx.ValueInfoProto]) -> None:
        for old, new in zip(before, after, strict=True):
            was, now = _sizes(old), _sizes(new)
            if was is not None and now != was:
                raise fail(
                    f"the shape of input `{old.name}` of the compiled model differs from that of the model as read",
                    facts=(("before", str(was)), ("after", str(now))),
                    help="nothing was written; declare a pass that sets shapes with @whole_graph(sets_inputs=True)",
                    code=Code.INTERFACE,
                )


def _lost(before: onnx.ModelProto, after: onnx.ModelProto) -> list[str]:
    """Warnings about default values and metadata of the model as read that the compiled model does not have."""
    warnings = []
    given = {each.name for each in before.graph.initializer}
    defaults = [each.name for each in before.graph.input if each.name in given and not _is_input(after, each.name)]
    # Before IR version 4, every initializer had to be an input too, so this did not mean that it may be overridden.
    if defaults and before.ir_version >= _OPTIONAL_INPUTS_IR:
        names = _listed(f"`{name}`" for name in defaults)
        warnings.append(f"inputs with default values became constants, so the compiled model does not have: {names}")
    kept = {each.key for each in after.graph.metadata_props}
    if keys := [each.key for each in before.graph.metadata_props if each.key not in kept]:
        warnings.append(f"metadata of the graph is not kept: {_listed(f'`{key}`' for key in keys)}")
    now = {each.name: each for each in (*after.graph.input, *after.graph.output, *after.graph.value_info)}
    then = (*before.graph.input, *before.graph.output, *before.graph.value_info)
    values = [each.name for each in then if each.metadata_props and not _has_metadata(now.get(each.name), each)]
    if values:
        warnings.append(f"metadata of values is not kept: {_listed(f'`{name}`' for name in values)}")
    return warnings


def _has_metadata(now: onnx.ValueInfoProto | None, then: onnx.ValueInfoProto) -> bool:
    keys = {each.key for each in now.metadata_props} if now is not None else set()
    return all(each.key in keys for each in then.metadata_props)


_OPTIONAL_INPUTS_IR = 4
_SHOWN = 5


def _listed(names: Iterable[str]) -> str:
    """The first names, and the number of further names."""
    shown = list(names)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _is_input(model: onnx.ModelProto, name: str) -> bool:
    return any(each.name == name for each in model.graph.input)


def _shown(value: onnx.ValueInfoProto) -> str:
    kind = value.type.WhichOneof("value") or ""
    if kind != "tensor_type":
        return f"`{value.name}` {kind.removesuffix('_type')}".rstrip()
    number = value.type.tensor_type.elem_type
    text = type_text(onnx.helper.tensor_dtype_to_np_dtype(number)) if number else ""
    return f"`{value.name}` {text}".rstrip()


def _unknown_before(old: object, new: object) -> bool:
    """Whether the only differences are types that the model as read does not declare."""
    before, after = list(old), list(new)  # type: ignore[call-overload]
    return len(before) == len(after) and all(
        was.name == now.name and (_shown(was) == _shown(now) or _shown(was) == f"`{was.name}`")
        for was, now in zip(before, after, strict=True)
    )


def _sizes(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """The dimensions of a tensor: a number, or None for one that may vary. None when the shape is not declared."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else None for each in tensor.shape.dim]
