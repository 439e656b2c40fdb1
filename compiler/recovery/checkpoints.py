"""Checkpoints of a training in the user's cache folder, so that a run that was killed goes on where it was.

The key is a hash over all that a training depends on: what computes, both graphs with their weights, the samples, the
values that are compared, the weights with zeros that stay, and the settings. An entry is JSON and arrays; nothing in it
is executed.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vggc.cache import Store, Unusable, not_written
from vggc.cache.environment import environment
from vggc.cache.keys import digest
from vggc.calibration.samples import Samples
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.fingerprint import fingerprint
from vggc.recovery.settings import Settings, State, Trial
from vggc.recovery.terms import Term
from vggc.recovery.weights import Weight
from vggc.rewrite import Context

_KIND = "trainings"
_ARRAYS = ("best", "weights", "moments")

SECONDS = 10.0
"""A checkpoint is written when the last one is at least this many seconds old. The final state is always written."""


class Checkpoints:
    """The checkpoints of one training; without a store, none."""

    def __init__(
        self,
        context: Context,
        graph: Graph,
        original: Graph,
        samples: Samples,
        *,
        weights: Iterable[Weight],
        terms: Iterable[Term],
        settings: Settings,
    ) -> None:
        self._context = context
        self._store = self._opened() if samples.data.repeatable else None
        self._key = ""
        if self._store is not None:
            self._key = _key(graph, original, samples, weights=weights, terms=terms, settings=settings)
        self._written = time.monotonic()

    def last(self) -> State:
        """Where an earlier run was when it ended, or the beginning."""
        if self._store is None:
            return State()
        try:
            content = self._store.read(_KIND, self._key)
            state = State() if content is None else _unpacked(bytes(content))
        except Unusable as reason:
            self._context.log.cache_warnings.append(f"training begins again: its checkpoint cannot be used: {reason}")
            return State()
        if state.epoch or state.trials:
            self._context.note(f"training went on after epoch {state.epoch} of an earlier run")
        return state

    def keep(self, state: State) -> None:
        """Write a state, unless the last one that was written is younger than SECONDS and this is not the end."""
        if self._store is None or (not state.done and time.monotonic() - self._written < SECONDS):
            return
        try:
            self._store.write(_KIND, self._key, _packed(state))
        except OSError as error:
            self._unwritten(self._store.folder, error.strerror or str(error))
            self._store = None
        self._written = time.monotonic()

    def _opened(self) -> Store | None:
        try:
            return self._context.cache()
        except RuntimeError as error:
            # A user without a home folder.
            self._unwritten("~", str(error))
            return None

    def _unwritten(self, folder: Path | str, reason: str) -> None:
        lost = "a training that is killed would begin again"
        self._context.log.cache_warnings.append(not_written(lost, folder, reason))


def _key(
    graph: Graph,
    original: Graph,
    samples: Samples,
    *,
    weights: Iterable[Weight],
    terms: Iterable[Term],
    settings: Settings,
) -> str:
    parts = {
        "environment": environment(),
        "graphs": [fingerprint(graph), fingerprint(original)],
        "data": [samples.data.sha256, samples.count, samples.size],
        # Which zeros stay and which channels are left follows from notes on nodes, which a fingerprint leaves out.
        "sparse": [each.name for each in weights if each.zeros is not None],
        "terms": [asdict(each) for each in terms],
        "settings": asdict(settings),
    }
    return digest(parts)


def _packed(state: State) -> bytes:
    head = {name: value for name, value in vars(state).items() if name not in _ARRAYS}
    head["trials"] = [asdict(each) for each in state.trials]
    arrays = {f"{name}{index}": each for name in _ARRAYS for index, each in enumerate(getattr(state, name))}
    file = io.BytesIO()
    np.savez(file, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)
    return file.getvalue()


def _unpacked(content: bytes) -> State:
    """Raises Unusable for what `_packed` would not have written."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            head: dict[str, Any] = json.loads(found["head"].tobytes())
            head["trials"] = [Trial(**each) for each in head["trials"]]
            arrays: dict[str, Any] = {name: _listed(found, name) for name in _ARRAYS}
            return State(**head, **arrays)
    except (OSError, KeyError, TypeError, ValueError):
        raise Unusable("the entry has another form than it should") from None


def _listed(found: Any, name: str) -> list[Array]:
    names: Sequence[str] = sorted(
        (each for each in found.files if each.startswith(name)), key=lambda each: int(each.removeprefix(name))
    )
    return [found[each] for each in names]
