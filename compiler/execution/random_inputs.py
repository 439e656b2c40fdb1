"""Seeded random inputs in the shapes that a model takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

import numpy as np

from vggc.data.generated import SMALL, random_array
from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.execution.batching import run
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import ValueType, inputs_of

Key = str | tuple[str, int]
"""A dimension whose size is to be chosen: a symbol, or the input and the axis of a dimension without a name."""

BATCHES = (3, 1)
"""The batch sizes to run when the batch is dynamic: 3 shows mixed-up samples, 1 shows a squeezed axis."""

_IMAGE_SIZES = (64, 32, 224, 128, 256, 299, 384, 512, 28, 16)
_OTHER_SIZES = (16, 8, 32, 64, 128, 256, 512, 4, 2, 1, 3, 5, 6, 12, 24, 48)
_CHANNELS = (3, 1)
"""Channels that are tried of an image all of whose dimensions are open; behind them the other sizes."""

_SEARCHED_BYTES = 16 << 20
"""Bytes of all inputs together beyond which sizes are not tried: a search is to take little time and memory."""

_NAMED = 3
"""Dimensions that a message names."""

_MOST_SIZES = 8
"""A list of integers that is no longer may hold sizes, or how often something is repeated along each axis."""

_LARGEST_BYTES = 1 << 30
_LARGEST_BATCH_BYTES = 256 << 20

_GIVE_DATA = (
    'give it samples in the recipe: data samples = npz("samples.npz", limit=8); or compile it with --verify off, '
    "which checks nothing"
)


def random_inputs(
    model: Graph | Session,
    inputs: Sequence[ValueType] | None = None,
    *,
    batches: Sequence[int] = BATCHES,
    seed: int = 0,
) -> list[Feeds]:
    """Feeds on which a model runs: one for each of `batches` where the batch is dynamic, else one.

    `inputs` narrows the model's own inputs, for a model whose shapes have been fixed since. Floats are standard
    normal, integers small and at least 0. A dynamic first dimension is the batch; other dynamic dimensions get a size
    by name, the same wherever the name stands, the first one in a list of usual sizes with which the model runs.

    Raises CompileError when the model runs on none of them, or would need more than 1 GiB of input.
    """
    own = model.inputs if isinstance(model, Session) else inputs_of(model)
    wanted = tuple(inputs if inputs is not None else own)
    for each in wanted:
        if each.shape is None:
            raise fail(f"the rank of the model's input `{each.name}` is unknown", help=_GIVE_DATA, code=Code.SHAPES)
    if _certain(wanted):
        return [_draw(wanted, {}, SMALL, seed)]
    return _SizeSearch(model if isinstance(model, Session) else Session(model), wanted, batches, seed).run()


def random_feeds(inputs: Sequence[ValueType], *, seed: int = 0) -> Feeds:
    """The feeds that `random_inputs` makes, for inputs all of whose dimensions are numbers; no model is run."""
    return _draw(inputs, {}, SMALL, seed)


def _certain(inputs: Sequence[ValueType]) -> bool:
    """Whether there is nothing to choose, so that a model that does not run is simply wrong."""
    floats = all(each.dtype.kind == "f" for each in inputs)
    return floats and all(isinstance(size, int) for each in inputs for size in each.shape or ())


class _SizeSearch:
    """Tries sizes until the model runs."""

    def __init__(self, session: Session, inputs: tuple[ValueType, ...], batches: Sequence[int], seed: int) -> None:
        self._inputs = inputs
        self._batches = batches
        self._seed = seed
        self._session = session
        self._problem: CompileError | None = None
        self._integers = any(each.dtype.kind in "iu" for each in inputs)
        self._limits = (SMALL, 2, 1) if self._integers else (SMALL,)

    def run(self) -> list[Feeds]:
        for number, (sizes, batch) in enumerate(_choices(self._inputs)):
            if number and _bytes(self._inputs, {**sizes, **dict.fromkeys(batch, 1)}) > _SEARCHED_BYTES:
                continue
            for below in self._limits:
                if self._growth(sizes, below) > _LARGEST_BYTES:
                    continue
                feeds = self._at(sizes, batch, below)
                if feeds:
                    return feeds
        assert self._problem is not None
        first = self._problem.diagnostics[0]
        names = sorted({key if isinstance(key, str) else key[0] for key in _keys(self._inputs)})
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        dimensions = f" for its dimensions {', '.join(f'`{each}`' for each in names[:_NAMED])}{more}" if names else ""
        facts = (("note", first.message), *first.facts)
        raise CompileError(
            Diagnostic(
                f"the model does not run on random inputs{dimensions}",
                facts=facts,
                help=_GIVE_DATA,
                code=Code.RANDOM_INPUTS,
            )
        )

    def _growth(self, sizes: Mapping[Key, int], below: int) -> float:
        """About what results may take whose sizes are products of the integers that the model is given."""
        one_sample: dict[Key, int] = {**dict.fromkeys(_keys(self._inputs), 1), **sizes}
        counts = [math.prod(_shape(each, one_sample)) for each in self._inputs if _is_list(each)]
        factors = sum(count for count in counts if count <= _MOST_SIZES)
        growth: int = max(1, below - 1) ** factors
        return float(_bytes(self._inputs, one_sample) * growth)

    def _at(self, sizes: Mapping[Key, int], batch: Sequence[Key], below: int) -> list[Feeds]:
        """The feeds of these sizes on which the model runs: a model may hold for one batch size only."""
        feeds_that_run: list[Feeds] = []
        for count in self._batches if batch else (1,):
            feeds = _draw(self._inputs, {**sizes, **dict.fromkeys(batch, count)}, below, self._seed)
            large = sum(each.nbytes for each in feeds.values()) > _LARGEST_BATCH_BYTES
            if batch and large and count > min(self._batches):
                continue
            if feeds_that_run and not self._integers:
                # It ran with the larger batch; whether it runs with one sample shows when the feeds are used.
                feeds_that_run.append(feeds)
                continue
            try:
                run(self._session, feeds)
                feeds_that_run.append(feeds)
            except CompileError as error:
                self._problem = self._problem or error
        return feeds_that_run


def _is_list(value: ValueType) -> bool:
    return value.dtype.kind in "iu" and len(value.shape or ()) <= 1


def _keys(inputs: Sequence[ValueType]) -> list[Key]:
    """The dimensions to choose, in order."""
    keys: dict[Key, None] = {}
    for wanted in inputs:
        for axis, size in enumerate(wanted.shape or ()):
            if not isinstance(size, int):
                keys[size if size is not None else (wanted.name, axis)] = None
    return list(keys)


def _choices(inputs: Sequence[ValueType]) -> Iterator[tuple[dict[Key, int], list[Key]]]:
    """Sizes to try for all dimensions but the batch, and which dimensions are the batch."""
    firsts: list[Key] = []
    images: set[Key] = set()
    for wanted in inputs:
        for axis, size in enumerate(wanted.shape or ()):
            key = size if isinstance(size, str) else (wanted.name, axis)
            if isinstance(size, int):
                continue
            if axis == 0 and key not in firsts:
                firsts.append(key)
            if len(wanted.shape or ()) == 4 and axis > 0:
                images.add(key)
    batches = [firsts]
    if len(firsts) > 1:
        # Perhaps only the first input's first dimension counts samples.
        batches.append(firsts[:1])
    channels = _channels(inputs)
    for batch in batches:
        others = [key for key in _keys(inputs) if key not in batch]
        for image, other in zip_longest(_IMAGE_SIZES, _OTHER_SIZES, fillvalue=_IMAGE_SIZES[0]):
            sizes: dict[Key, int] = {key: image if key in images else other for key in others}
            if channels & sizes.keys():
                yield from (({**sizes, **dict.fromkeys(channels & sizes.keys(), count)}, batch) for count in _CHANNELS)
            yield sizes, batch
            if not others:
                break


def _channels(inputs: Sequence[ValueType]) -> set[Key]:
    """The second dimensions of images all of whose dimensions behind the batch are open."""
    return {
        wanted.shape[1] if isinstance(wanted.shape[1], str) else (wanted.name, 1)
        for wanted in inputs
        if wanted.shape and len(wanted.shape) == 4 and not any(isinstance(size, int) for size in wanted.shape[1:])
    }


def _bytes(inputs: Sequence[ValueType], sizes: Mapping[Key, int]) -> int:
    """What all inputs take together."""
    return sum(math.prod(_shape(each, sizes)) * max(1, each.dtype.itemsize) for each in inputs)


def _shape(value: ValueType, sizes: Mapping[Key, int]) -> list[int]:
    return [
        size if isinstance(size, int) else sizes[size if size is not None else (value.name, axis)]
        for axis, size in enumerate(value.shape or ())
    ]


def _draw(inputs: Sequence[ValueType], sizes: Mapping[Key, int], below: int, seed: int) -> Feeds:
    feeds = {}
    for position, each in enumerate(inputs):
        shape = _shape(each, sizes)
        if math.prod(shape) * max(1, each.dtype.itemsize) > _LARGEST_BYTES:
            raise fail(
                f"random numbers for the model's input {each} would take more than 1 GiB",
                help=_GIVE_DATA,
                code=Code.MEMORY,
            )
        feeds[each.name] = random_array(np.random.default_rng((seed, position)), each.dtype, shape, below)
    return feeds
