"""Loaders: functions that return data. The signature of the function says which options recipes can give."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from vggc.data.arrays import ArrayDataset
from vggc.data.dataset import Batch, Dataset, SampleType, as_labels
from vggc.diagnostics import Code, CompileError, fail
from vggc.options.schema import OptionFunction

LABELS = "labels"
"""The name of the array of class numbers that a user's loader returns."""


@dataclass(frozen=True)
class Loader(OptionFunction):
    """A named source of data.

    The function's first parameter is the recipe's folder; the others are the options a recipe may give.

    label_option  the option that gives labels, "" when the data never has any; None when only a call shows this
    label_help    what to write to get labels
    """

    label_option: str | None = None
    label_help: str = ""

    def load(self, name: str, base: Path, **options: Any) -> Dataset:
        """The data set that a recipe calls `name`. Raises CompileError when it cannot be loaded."""
        described = f"{self.name}()" if not options else f"{self.name}({', '.join(sorted(options))})"
        result = self._call(base, options)
        if isinstance(result, Dataset):
            dataset = result
        elif isinstance(result, Mapping):
            dataset = arrays_dataset(result, f"loader `{self.name}`")
            dataset.description = described
        elif isinstance(result, Iterator):
            dataset = Streamed(lambda: self._call(base, options), self.name)
            dataset.description = described
        else:
            raise fail(
                f"loader `{self.name}` returned {type(result).__name__}",
                help="return a dict of arrays with samples along their first axis, or yield such dicts batch by batch",
                code=Code.LOADER,
            )
        dataset.name = name
        return dataset

    def _call(self, base: Path, options: Mapping[str, Any]) -> Any:
        try:
            return self.function(base, **options)
        except CompileError:
            raise
        except Exception as error:  # noqa: BLE001
            raise raised(self.name, error) from None


@overload
def loader(function: Callable[..., Any], /) -> Loader: ...
@overload
def loader(*, label_option: str, label_help: str) -> Callable[[Callable[..., Any]], Loader]: ...
def loader(
    function: Callable[..., Any] | None = None, /, *, label_option: str | None = None, label_help: str = ""
) -> Loader | Callable[[Callable[..., Any]], Loader]:
    """Make a loader of a function `(folder, option=default, ...)`.

    `folder` is the recipe's folder, a Path. The function returns a dict of arrays named like the model's inputs,
    samples along the first axis, with class numbers under "labels" if there are any; or it yields such dicts batch by
    batch, in which case it is called again for each pass over the data and must yield the same samples each time.
    """

    def declare(function: Callable[..., Any]) -> Loader:
        return Loader(function.__name__, function, label_option, label_help)

    return declare(function) if function else declare


def raised(name: str, error: Exception) -> CompileError:
    """The error for an exception in a user's loader, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    text = str(error) or "no message"
    return fail(
        f"loader `{name}` raised {type(error).__name__}: {text}",
        facts=(("at", where),) if where else (),
        code=Code.LOADER,
    )


def arrays_dataset(given: Mapping[Any, Any], where: str) -> ArrayDataset:
    """A data set of arrays (samples, ...) by name, with class numbers under LABELS if there are any.

    `where` names the arrays in messages. Raises CompileError for what is not an array of samples.
    """
    arrays = _checked(given, where)
    labels = arrays.pop(LABELS, None)
    found = ArrayDataset(arrays, None, where)
    if labels is not None:
        found.labels = as_labels(labels, len(found), f"array `{LABELS}` of {where}")
    return found


def _checked(given: Mapping[Any, Any], where: str) -> Batch:
    arrays: Batch = {}
    for name, values in given.items():
        if not isinstance(name, str):
            raise fail(f"{where} returned a dict with a key that is not a name: {name!r}", code=Code.LOADER)
        try:
            arrays[name] = np.asarray(values)
        except (TypeError, ValueError, RuntimeError) as error:
            raise fail(f"`{name}` of {where} is not an array: {error}", code=Code.LOADER) from None
    return arrays


class Streamed(Dataset):
    """The samples that a user's generator yields, batch by batch.

    The generator runs once when the data is loaded, to count and check its samples, and again on every reading.
    """

    def __init__(self, start: Any, name: str) -> None:
        self.name = "data"
        self.description = name
        self._start = start
        self._loader = name
        self._count = 0
        self.arrays = {}
        self.labels = None
        label_parts = [labels for _, labels in self._pieces(first=True)]
        if not self._count:
            raise fail(f"loader `{name}` yielded no samples", code=Code.LOADER)
        if label_parts and label_parts[0] is not None:
            self.labels = np.concatenate([each for each in label_parts if each is not None])

    def __len__(self) -> int:
        return self._count

    @property
    def checked_on_reading(self) -> bool:
        return True

    def parts(self) -> Iterator[Batch]:
        seen = 0
        for batch, _ in self._pieces(first=False):
            seen += len(next(iter(batch.values())))
            yield batch
        if seen != self._count:
            raise fail(
                f"loader `{self._loader}` yielded {self._count} samples at first, but {seen} now",
                help="it is run several times, and has to yield the same samples each time",
                code=Code.LOADER,
            )

    def _pieces(self, *, first: bool) -> Iterator[tuple[Batch, Any]]:
        where = f"loader `{self._loader}`"
        labelled: bool | None = None
        for number, given in enumerate(self._yielded()):
            if not isinstance(given, Mapping):
                raise fail(f"{where} yielded {type(given).__name__}", help="yield a dict of arrays", code=Code.LOADER)
            part = arrays_dataset(given, f"{where}, batch {number}")
            labelled = part.labels is not None if labelled is None else labelled
            if labelled != (part.labels is not None):
                raise fail(f"{where} yields labels with some batches only", code=Code.LOADER)
            if first and not self.arrays:
                self.arrays = dict(part.arrays)
            if dict(self.arrays) != dict(part.arrays):
                raise fail(
                    f"{where}, batch {number} differs from batch 0: {_difference(self.arrays, part.arrays)}",
                    code=Code.LOADER,
                )
            if first:
                self._count += len(part)
            yield next(part.parts()), part.labels

    def _yielded(self) -> Iterator[Any]:
        source = self._start()
        while True:
            try:
                given = next(source)
            except StopIteration:
                return
            except CompileError:
                raise
            except Exception as error:  # noqa: BLE001
                raise raised(self._loader, error) from None
            yield given


def _difference(first: Mapping[str, SampleType], now: Mapping[str, SampleType]) -> str:
    for name in (*first, *now):
        before, after = first.get(name), now.get(name)
        if before is None or after is None:
            return f"array `{name}` is in one of them only"
        if before != after:
            return f"`{name}` was {before} and is {after}"
    raise ValueError("the batches do not differ")
