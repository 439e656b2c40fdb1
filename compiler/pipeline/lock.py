"""`recipe.lock`: everything that a compile depends on, and what each of its steps made of it.

A locked compile refuses to start when something that decides the result differs, and names it. While it runs, the graph
after each step is compared with the lock, so that the first step with another result is found. The processor may
differ: kernels for other instructions may round in another way, which only the graphs show.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vggc import __version__
from vggc.cache.environment import code_hash, processor, versions
from vggc.cache.keys import file_hash
from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.diagnostics.number_text import counted
from vggc.diagnostics.progress import NO_PROGRESS, Progress
from vggc.grammar.shipped_recipes import recipe_file, recipe_stem
from vggc.graph import Graph
from vggc.graph.fingerprint import fingerprint
from vggc.operators.quantizers import is_quantizer
from vggc.pipeline.dependencies import imported_files, weight_hashes
from vggc.pipeline.model import BoundData, Pipeline
from vggc.pipeline.precheck import check_fit
from vggc.pipeline.runner import Runner
from vggc.pipeline.step_cache import StepCache
from vggc.report.record import Report, StepRecord, plain_value

Lock = Mapping[str, Any]
"""The content of a lock file."""

_FORMAT = 1
_MOST_FILES = 4096
"""The most files of a data set that are listed one by one."""

_SHOWN = 3
_SHORT = 16
"""Characters of the hashes that only tell which of many files differ."""


def lock_path(recipe: Path) -> Path:
    """The lock file of a recipe: `prune.lock` beside `prune.opt`, or in the current folder for `vggc:prune.opt`."""
    return recipe.with_name(f"{recipe_stem(recipe)}.lock")


def lock_text(lock: Lock) -> str:
    """A lock as the text of its file: JSON with sorted keys."""
    return json.dumps(lock, indent=2, sort_keys=True) + "\n"


def read_lock(path: Path) -> Lock:
    """The content of a lock file. Raises CompileError when it cannot be read, or is not one."""
    advice = "`vggc lock RECIPE MODEL` writes it"
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise fail(f"there is no lock file `{path}`", help=advice, code=Code.LOCK) from None
    except (OSError, ValueError) as error:
        raise fail(f"the lock file `{path}` cannot be read: {error}", help=advice, code=Code.LOCK) from None
    if not isinstance(lock, dict) or lock.get("format") != _FORMAT or not lock.keys() >= {"steps", "model", "data"}:
        raise fail(f"`{path}` is not a lock file of this version of vggc", help=advice, code=Code.LOCK)
    return lock


def make_lock(pipeline: Pipeline, model: Path, *, progress: Progress = NO_PROGRESS) -> Lock:
    """Run the steps and gates of a recipe, and describe all that they depend on and all that they made.

    Raises CompileError and RequirementNotMet like a compile.
    """
    progress.begin("reading the model")
    graph = Graph.load(model)
    graph.infer_shapes(check=True)
    check_fit(pipeline, graph)
    sources = _sources(pipeline, model, graph)
    steps = _Steps()
    Runner(
        pipeline,
        graph,
        model,
        verify="off",
        report=Report({}, {}, "off"),
        progress=progress,
        stepped=lambda record, after: steps.add(record, after()),
        cache=StepCache.of_user(model, graph, lambda: str(sources["model"]["sha256"])),
    ).run()
    return {**sources, "steps": steps.described}


class LockedCompile:
    """The comparison of one compile with a lock: `start` before it, `stepped` after each step, `finish` at its end."""

    def __init__(self, lock: Lock, path: Path, pipeline: Pipeline, model: Path) -> None:
        self._lock = lock
        self._path = path
        self._pipeline = pipeline
        self._model = model
        self._steps = _Steps()

    def start(self) -> None:
        """Raise CompileError, with a line for each difference, when the compile does not depend on the same."""
        graph = Graph.load(self._model)
        now = _sources(self._pipeline, self._model, graph)
        if found := list(_differences(self._lock, now)):
            raise CompileError(
                Diagnostic(
                    f"this compile is not the one of `{self._path}`",
                    facts=tuple(("differs", each) for each in found),
                    help="undo these changes, or write the lock again with `vggc lock`",
                    code=Code.LOCK,
                )
            )

    def stepped(self, record: StepRecord, after: Callable[[], Graph]) -> None:
        """Raise CompileError at the first step that has made another graph than when the lock was written."""
        self._steps.add(record, after())
        number = len(self._steps.described)
        now, then = self._steps.described[-1], [*self._lock["steps"], {}][number - 1 :][0]
        if now["graph"] != then.get("graph") or now["name"] != then.get("name"):
            facts = [("differs", each) for each in _step_differences(then, now)]
            if (before := self._lock.get("processor")) != processor():
                facts.append(("processor", f"{processor()}, in the lock {before}"))
            step = next(
                each for each in self._pipeline.steps() if (each.name, each.label) == (record.name, record.line)
            )
            message = f"step {number}, `{record.name}`, did not make the graph of `{self._path}`"
            help = "another processor may round in another way; write a lock there with `vggc lock`"
            raise CompileError(Diagnostic(message, step.span, facts=tuple(facts), help=help, code=Code.LOCK))

    def finish(self) -> None:
        """Raise CompileError when steps of the lock did not run."""
        ran, locked = len(self._steps.described), len(self._lock["steps"])
        if ran < locked:
            raise fail(f"only {ran} of the {counted(locked, 'step')} of `{self._path}` ran", code=Code.LOCK)


class _Steps:
    """What steps made: the hash of the graph after each, and the widths and ranges that the step chose."""

    def __init__(self) -> None:
        self.described: list[dict[str, Any]] = []
        self._ranges: dict[str, str] = {}

    def add(self, record: StepRecord, graph: Graph) -> None:
        ranges = _ranges(graph)
        chosen = {name: text for name, text in ranges.items() if self._ranges.get(name) != text}
        self._ranges = ranges
        self.described.append(
            {
                "name": record.name,
                "line": record.line,
                "graph": fingerprint(graph),
                "widths": {name: len(kept) for name, kept in record.channels.items()},
                "ranges": chosen,
            }
        )


def _ranges(graph: Graph) -> dict[str, str]:
    """Scale and zero point of each value that is quantized as a whole, as text."""
    found = {}
    for node in graph.nodes:
        if is_quantizer(node) and len(node.inputs) > 1:
            arrays = [graph.array(each) for each in node.inputs[1:3]]
            if all(each is not None and each.size == 1 for each in arrays):
                numbers = [np.asarray(each).reshape(-1)[0] for each in arrays]
                zero = f", zero point {int(numbers[1])}" if len(numbers) > 1 else ""
                found[node.inputs[0].name] = f"scale {float(numbers[0])!r}{zero}"
    return found


def _sources(pipeline: Pipeline, model: Path, graph: Graph) -> dict[str, Any]:
    """Everything that decides the result of a compile."""
    folder = Path(pipeline.source.path).parent
    python = [path for path in pipeline.files if path.suffix == ".py"]
    others = {path: file_hash(path) for path in imported_files(python)}
    return {
        "format": _FORMAT,
        "vggc": f"{__version__} {code_hash()[:_SHORT]}",
        "versions": versions(),
        "processor": processor(),
        "model": {
            "sha256": file_hash(model),
            "weights": weight_hashes(model, graph),
        },
        "recipe": file_hash(recipe_file(Path(pipeline.source.path))),
        "files": {_relative(path, folder): text for path, text in {**pipeline.files, **others}.items()},
        "parameters": {name: plain_value(value) for name, value in pipeline.params.items()},
        "data": {name: _described(each) for name, each in pipeline.data.items()},
    }


def _described(data: BoundData) -> dict[str, Any]:
    loaded = data.load()
    files = loaded.files if len(loaded.files) <= _MOST_FILES else {}
    return {
        "description": loaded.description,
        "samples": len(loaded),
        "sha256": loaded.sha256,
        "files": {name: text[:_SHORT] for name, text in files.items()},
    }


def _relative(path: Path, folder: Path) -> str:
    whole, base = path.resolve(), folder.resolve()
    return whole.relative_to(base).as_posix() if whole.is_relative_to(base) else whole.name


def _differences(then: Lock, now: Lock) -> Iterator[str]:
    """What differs of that which decides the result, each as a phrase."""
    if then["vggc"] != now["vggc"]:
        yield f"vggc is {now['vggc']}, locked {then['vggc']}"
    for name, number in now["versions"].items():
        if (before := then["versions"].get(name)) != number:
            yield f"{name} is {number}, locked {before}"
    if then["model"] != now["model"]:
        yield "the model has changed"
    if then["recipe"] != now["recipe"]:
        yield "the recipe has changed"
    for name in sorted({*then["files"], *now["files"]}):
        if then["files"].get(name) != now["files"].get(name):
            yield f"the file `{name}` has changed"
    for name in sorted({*then["parameters"], *now["parameters"]}):
        before, after = then["parameters"].get(name), now["parameters"].get(name)
        if before != after:
            yield f"the parameter `{name}` is {after}, locked {before}"
    for name in sorted({*then["data"], *now["data"]}):
        yield from _data_differences(name, then["data"].get(name), now["data"].get(name))


def _data_differences(name: str, then: Lock | None, now: Lock | None) -> Iterator[str]:
    if then is None or now is None:
        yield f"the data `{name}` is {'new' if then is None else 'missing'}"
        return
    if then["sha256"] == now["sha256"]:
        return
    before, after = then["files"], now["files"]
    changed = sorted(each for each in {*before, *after} if before.get(each) != after.get(each))
    what = ""
    if changed and before:
        more = " and more" if len(changed) > _SHOWN else ""
        what = f": {len(changed)} of {counted(len(before), 'file')} differ: {', '.join(changed[:_SHOWN])}{more}"
    elif then["samples"] != now["samples"]:
        what = f": it has {counted(now['samples'], 'sample')}, locked {then['samples']}"
    yield f"the data `{name}` has changed{what}"


def _step_differences(then: Lock, now: Lock) -> Iterator[str]:
    """What a step chose differently, each as a phrase."""
    if then.get("name") != now["name"]:
        yield f"the step was {then.get('name') or 'none'}"
        return
    for kind, noun in (("widths", "the width of"), ("ranges", "the range of")):
        names = sorted(each for each in {*then[kind], *now[kind]} if then[kind].get(each) != now[kind].get(each))
        for name in names[:_SHOWN]:
            yield f"{noun} `{name}` is {now[kind].get(name)}, locked {then[kind].get(name)}"
        if len(names) > _SHOWN:
            yield f"{kind} of {len(names) - _SHOWN} more"
    if _chosen(then) == _chosen(now):
        yield "only numbers of the graph: its widths and ranges are the same"


def _chosen(step: Lock) -> Sequence[Any]:
    return [step["widths"], step["ranges"]]
