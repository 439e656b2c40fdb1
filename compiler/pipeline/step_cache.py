"""What earlier compiles have found, kept between runs: what steps did, the graphs after them, and what was measured.

A step is found by the key of the model before it and everything that the step depends on (vggc.pipeline.dependencies).
What a pass asked its Context is known only after it ran. So an entry under that key names what was asked, and the
result is under a key that covers the answers. The graph after a step is a separate entry, which only slow steps have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from vggc.cache import VARIABLE, Store, Unusable, not_written, open_store
from vggc.cache.keys import digest, file_hash
from vggc.graph import Graph
from vggc.graph.extras import LINE, node_extras
from vggc.graph.packed_graph import all_nodes, pack, unpack
from vggc.pipeline.dependencies import key_of_model, spelled
from vggc.pipeline.watched_context import WatchedContext
from vggc.report.record import StepRecord

SLOW_SECONDS = 0.3
"""A graph is kept when the steps since the last graph in the cache took at least this time."""

_LARGEST_SHARE = 4
"""An entry may take at most the size of the cache divided by this number."""


_Content = TypeVar("_Content")


@dataclass(frozen=True)
class FoundStep:
    """A step that an earlier compile has run: the key of the model after it, its record, and its warnings."""

    key: str
    record: StepRecord
    warnings: list[str]


class StepCache:
    """The cache of one compile of a model. Without a store, nothing is found and nothing is kept.

    `root` is the key of the model as read. `warnings` says what was wrong with the cache: it never ends a compile.
    """

    def __init__(self, store: Store | None, model: Path, graph: Graph, model_hash: Callable[[], str]) -> None:
        self._store = store
        self._model = model
        self._writes = store is not None
        self.warnings: list[str] = []
        self.root = None if store is None else key_of_model(model, graph, model_hash())

    @classmethod
    def of_user(cls, model: Path, graph: Graph, model_hash: Callable[[], str] | None = None) -> StepCache:
        """The cache in the user's cache folder. `model_hash` returns the SHA-256 of the model's file, if it is known.

        Raises CompileError when VGGC_CACHE or VGGC_CACHE_SIZE is wrong.
        """
        try:
            return cls(open_store(), model, graph, model_hash or (lambda: file_hash(model)))
        except RuntimeError as error:
            # A user without a home folder.
            cache = cls(None, model, graph, lambda: "")
            cache.warnings.append(
                f"steps are not kept for the next run: {error}; set {VARIABLE} to a folder, or to off"
            )
            return cache

    # --- steps --------------------------------------------------------------------------------------------

    def find_step(self, before: str | None, parts: Sequence[Any] | None, context: WatchedContext) -> FoundStep | None:
        """A step on the model `before`; `parts` is what it depends on, and `context` has the answers it would get."""
        if before is None or parts is None:
            return None
        step = digest("step", before, parts)
        asked = self._read("steps", step)
        if not isinstance(asked, list):
            return None
        key = _answered(step, asked, context)
        content = self._read("steps", key)
        try:
            return None if content is None else FoundStep(key, _found(content["record"]), content["warnings"])
        except (KeyError, TypeError, AttributeError):
            # Other code than this has written it, though the hash of the code is in the key.
            return None

    def keep_step(
        self, before: str | None, parts: Sequence[Any] | None, context: WatchedContext, record: StepRecord
    ) -> str | None:
        """Keep what a step did. Returns the key of the model after it; None when it cannot be found again."""
        if before is None or parts is None:
            return None
        step, asked = digest("step", before, parts), sorted(context.asked)
        key = _answered(step, asked, context)
        self._write("steps", key, {"record": asdict(record), "warnings": context.log.warnings})
        self._write("steps", step, asked)
        return key

    @staticmethod
    def key_of_restored(key: str | None) -> str | None:
        """The key of the model to which a recipe rolls back, which is a copy of the model that had `key`."""
        return None if key is None else digest("restored", key)

    # --- graphs -------------------------------------------------------------------------------------------

    def has_graph(self, key: str | None) -> bool:
        return key is not None and self._store is not None and self._store.has("graphs", key)

    def keep_graph(self, key: str | None, graph: Graph, labels: Sequence[str]) -> None:
        """Keep the graph after the steps with these labels."""
        if key is None or self._store is None or not self._writes:
            return
        parts = pack(graph, self._model, self._store.limit // _LARGEST_SHARE)
        if parts is not None:
            with self._writing():
                head = "\n".join(labels).encode()
                self._store.write("graphs", key, len(head).to_bytes(8, "little"), head, *parts)

    def graph(self, key: str | None, labels: Sequence[str]) -> Graph | None:
        """The graph under a key, its nodes stamped with the labels that its steps have now; None when there is none."""
        if key is None or self._store is None:
            return None
        try:
            content = self._store.read("graphs", key)
        except Unusable as reason:
            self.warnings.append(f"a step runs again, because its result in the cache cannot be used: {reason}")
            return None
        if content is None:
            return None
        start = 8 + int.from_bytes(content[:8], "little")
        then = bytes(content[8:start]).decode().split("\n")
        # As many labels as when the entry was written: the key covers the number of steps.
        renamed = dict(zip(then, labels, strict=True))
        if any(renamed[old] != new for old, new in zip(then, labels, strict=True)):
            # Two steps of one line are at two lines now: which nodes came from which cannot be known.
            return None
        graph = unpack(content[start:], self._model)
        for node in all_nodes(graph) if then != list(labels) else ():
            extras = node_extras(node)
            if (line := extras.metadata.get(LINE)) in renamed:
                extras.metadata = {**extras.metadata, LINE: renamed[line]}
            extras.earlier = tuple(renamed.get(each, each) for each in extras.earlier)
        return graph

    # --- what was measured --------------------------------------------------------------------------------

    def find_check(self, *parts: Any) -> Any:
        """What `keep_check` kept under the same parts, None when there is nothing or a part is None."""
        return None if self._store is None or None in parts else self._read("checks", digest("check", *parts))

    def keep_check(self, content: Any, *parts: Any) -> None:
        """Keep a JSON value that depends on all parts, unless one of them is None."""
        if self._store is not None and None not in parts:
            self._write("checks", digest("check", *parts), content)

    def find_bytes(self, kind: str, *parts: Any) -> memoryview | None:
        """What `keep_bytes` kept under the same parts, None when there is nothing or a part is None."""
        if self._store is None or None in parts:
            return None
        return self._tried(lambda store: store.read(kind, digest(kind, *parts)))

    def keep_bytes(self, kind: str, content: memoryview, *parts: Any) -> None:
        """Keep bytes that depend on all parts, unless they take too large a part of the cache."""
        if self._store is not None and self._writes and len(content) <= self._store.limit // _LARGEST_SHARE:
            with self._writing():
                self._store.write(kind, digest(kind, *parts), content)

    def _read(self, kind: str, key: str) -> Any:
        return self._tried(lambda store: store.read_json(kind, key))

    def _tried(self, read: Callable[[Store], _Content]) -> _Content | None:
        assert self._store is not None
        try:
            return read(self._store)
        except Unusable as reason:
            self.warnings.append(f"a result in the cache cannot be used: {reason}")
            return None

    def _write(self, kind: str, key: str, content: Any) -> None:
        if self._store is not None and self._writes:
            with self._writing():
                self._store.write_json(kind, key, content)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What cannot be written in this block is not kept."""
        try:
            yield
        except OSError as error:
            self._stop_writing(error)
        except (TypeError, ValueError):
            # A pass of the user's may record what JSON does not have, such as numpy's numbers.
            return

    def _stop_writing(self, error: OSError) -> None:
        """Write nothing more, because the disk is full or the folder cannot be written."""
        assert self._store is not None
        self._writes = False
        lost = "steps are not kept for the next run"
        self.warnings.append(not_written(lost, self._store.folder, error.strerror or str(error)))


def _answered(step: str, asked: Sequence[str], context: WatchedContext) -> str:
    return digest("answered", step, {name: spelled(context.answer(name)) for name in asked})


def _found(content: Any) -> StepRecord:
    record: StepRecord = restored(StepRecord, content)
    record.cached = True
    return record


def restored(kind: Any, content: Any) -> Any:
    """A value of a type, from the JSON of `dataclasses.asdict`: dataclasses, lists, tuples and mappings of such values.

    Raises TypeError, AttributeError or KeyError for what was made from another type.
    """
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: restored(hints[name], value) for name, value in content.items()})  # type: ignore[operator]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (list, tuple):
        return origin(restored(arguments[0], each) for each in content)
    if origin is dict:
        return {name: restored(arguments[1], each) for name, each in content.items()}
    return content
