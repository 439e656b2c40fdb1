"""What the result of a step, a measure or a comparison depends on, as keys of the cache.

The keys form a chain: that of the model as read covers the bytes of its files and everything that computes, and that of
the model after a step covers the key before it, the pass with its options and rules, and the data. The line of a recipe
that a step stands in is not part of a key. A key is None when something cannot be known to be the same in another run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vggc.cache.environment import environment
from vggc.cache.keys import digest, file_hash
from vggc.graph import Graph
from vggc.graph.packed_graph import weight_files
from vggc.measures import Measure
from vggc.options import spell
from vggc.pipeline.execute import shipped, shipped_function
from vggc.pipeline.model import BoundData, BoundStep, Pipeline
from vggc.rewrite import Destination


def key_of_model(model: Path, graph: Graph, sha256: str) -> str:
    """The key of a model as read; `graph` is the graph that was read from its file, and `sha256` the file's hash."""
    return digest("model", sha256, weight_hashes(model, graph), environment())


def weight_hashes(model: Path, graph: Graph) -> dict[str, str]:
    """The hash of each file beside a model that holds weights of it, by its path from the model's folder."""
    folder = model.parent.resolve()
    return {each.relative_to(folder).as_posix(): file_hash(each) for each in weight_files(graph, model)}


class Dependencies:
    """The parts of keys that come from one bound recipe; all are None unless they are `wanted`.

    They read all samples of the data that they describe.
    """

    def __init__(self, pipeline: Pipeline, *, wanted: bool) -> None:
        self._pipeline = pipeline
        self._wanted = wanted
        self._code: str | None = None
        self._data: dict[str, list[Any] | None] = {}

    def of_step(self, step: BoundStep, *, holds_back: bool) -> list[Any] | None:
        """The pass of a step, its rules and its options; `holds_back` says that it gets a part of the samples only."""
        pass_ = step.pass_
        options = self._options(step.options)
        if options is None or not pass_.repeatable:
            return None
        rules = [
            [rule.name, rule.span.text if rule.span else "", str(rule.tolerance), self._options(rule.options)]
            for rule in pass_.rules
        ]
        own = shipped(pass_)
        function = pass_.function
        name = f"{function.__module__}.{function.__qualname__}" if own else pass_.name
        return [name, pass_.exact, "" if own else self.code, rules, options, holds_back]

    def of_measure(self, measure: Measure, options: Mapping[str, Any]) -> list[Any] | None:
        """A measure with its options."""
        given = self._options(options)
        if given is None or not measure.repeatable:
            return None
        return [measure.name, "" if shipped_function(measure.function) else self.code, given]

    def of_all_data(self) -> list[Any] | None:
        """All data sets of the recipe, in order, and which of them steps use."""
        if not self._wanted:
            return None
        found = [self._of_data(each) for each in self._pipeline.data.values()]
        used = {each.name for step in self._pipeline.steps() for each in step.options.values() if _is_data(each)}
        return None if None in found else [found, sorted(used)]

    def of_first_data(self) -> list[Any] | None:
        """The data set on which models are compared, an empty list when there is none."""
        if not self._wanted:
            return None
        first = next(iter(self._pipeline.data.values()), None)
        return [] if first is None else self._of_data(first)

    @property
    def code(self) -> str:
        """The texts of the Python files that the recipe uses, and of the files beside them that they import."""
        if self._code is None:
            files = {str(path): text for path, text in self._pipeline.files.items() if path.suffix == ".py"}
            beside = {str(path): file_hash(path) for path in imported_files(map(Path, files))}
            # Without the folder, so that a recipe may be moved.
            self._code = digest(sorted(files.values()), sorted(beside.values())) if files else ""
        return self._code

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        if not self._wanted:
            return None
        found = {name: self._of_option(each) for name, each in options.items()}
        return None if None in found.values() else found

    def _of_option(self, value: Any) -> Any:
        if _is_data(value):
            return self._of_data(value)
        if isinstance(value, Path):
            # What lies in a folder is the affair of the function that reads it.
            return file_hash(value) if value.is_file() else None
        return spell(value)

    def _of_data(self, data: BoundData) -> list[Any] | None:
        if data.name not in self._data:
            loaded = data.load()
            known = [data.name, loaded.description, len(loaded), loaded.sha256] if loaded.repeatable else None
            self._data[data.name] = known
        return self._data[data.name]


def spelled(value: Any) -> Any:
    """A value of a Context as JSON."""
    if isinstance(value, Destination):
        return [value.target, {name: _spelled(each) for name, each in value.options.items()}]
    if isinstance(value, list | tuple):
        return [spelled(each) for each in value]
    return repr(value)


def _spelled(option: Any) -> str:
    """An option of a target. Of data the name is enough: passes do not read the data of a target."""
    return option.name if isinstance(option, BoundData) else spell(option)


def imported_files(files: Iterable[Path]) -> list[Path]:
    """The Python files beside the given ones that they import, directly or through each other."""
    found: dict[Path, None] = {}
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        for name in _imports(path):
            package = path.parent / name
            beside = [*([package.with_suffix(".py")] if package.with_suffix(".py").is_file() else [])]
            beside += sorted(package.rglob("*.py")) if package.is_dir() else []
            new = [each for each in beside if each not in found and each != path]
            found |= dict.fromkeys(new)
            waiting += new
    return sorted(found)


def _imports(path: Path) -> set[str]:
    """The first parts of the names of the modules that a file imports."""
    names = set()
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        # Whoever imports it gets the error; here its text is enough.
        return set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.name.split(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            # `from . import name` and `from .name import ...` in a package beside the file.
            names |= {node.module.split(".")[0]} if node.module else {each.name for each in node.names}
    return names


def _is_data(value: Any) -> bool:
    return isinstance(value, BoundData)
