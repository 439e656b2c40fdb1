"""Data that a program gives: arrays, dicts and tuples of arrays, and objects that yield them, such as a DataLoader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from vggc.data import Dataset
from vggc.data.loader import LABELS, Streamed, arrays_dataset
from vggc.diagnostics import Code, fail
from vggc.diagnostics.number_text import counted

_ARRAY = "inputs"
"""The name of an array that comes without one; it goes to the only input of a model."""

_HELP = (
    "give one array, a dict of arrays named like the model's inputs, a pair (inputs, labels), "
    "or an object that yields them batch by batch, such as a DataLoader"
)


def as_dataset(name: str, given: Any) -> Dataset:
    """The data set of what a program gives.

    That is a Dataset; arrays by the names of inputs, with class numbers under "labels"; one array; a pair of an array
    and class numbers; or an object that yields dicts, arrays or pairs in every loop over it. Raises CompileError for
    anything else.
    """
    where = f"data `{name}`"
    if isinstance(given, Dataset):
        return given
    if isinstance(given, Mapping) or _is_array(given) or _is_pair(given):
        held = arrays_dataset(_named(given, where, name), where)
        held.description = f"{counted(len(held), 'sample')} from memory"
        return held
    kind = type(given).__name__
    if isinstance(given, Iterable) and not isinstance(given, Iterator | str | bytes):
        _check_order(given, where)
        streamed = Streamed(lambda: (_named(each, where, _ARRAY) for each in given), name)
        streamed.description = f"{counted(len(streamed), 'sample')} from a {kind}"
        return streamed
    help = _HELP
    if hasattr(given, "__getitem__") and hasattr(given, "__len__") and not isinstance(given, str | bytes):
        help = "it gives single samples; give batches: torch.utils.data.DataLoader(dataset, batch_size=32)"
    raise fail(f"{where} cannot be made of an object of type `{kind}`", help=help, code=Code.NOT_A_MODEL)


def _named(given: Any, where: str, name: str) -> Mapping[str, Any]:
    """Arrays by name, of a dict, one array, or a pair of an array and class numbers. Raises CompileError."""
    if isinstance(given, Mapping):
        return given
    if _is_array(given):
        return {name: given}
    if not isinstance(given, list | tuple) or not given or not all(map(_is_array, given)):
        raise fail(f"{where} yields an object of type `{type(given).__name__}`", help=_HELP, code=Code.LOADER)
    if len(given) == 1:
        return {name: given[0]}
    if len(given) == 2 and _are_labels(given[1]):
        return {name: given[0], LABELS: given[1]}
    raise fail(
        f"{where} has {len(given)} arrays without names, and the last is not a class number for each sample",
        help='give a dict with their names: {"image": images, "masks": masks}',
        code=Code.LOADER,
    )


def _is_array(given: Any) -> bool:
    return hasattr(given, "__array__")


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and all(map(_is_array, given))


def _are_labels(given: Any) -> bool:
    array = np.asarray(given)
    return array.dtype.kind in "iu" and (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1))


def _check_order(given: Any, where: str) -> None:
    """Refuse a DataLoader that shuffles: the labels of one loop would not be those of the next."""
    if type(getattr(given, "sampler", None)).__name__ == "RandomSampler":
        help = "make it with shuffle=False: it is looped over several times, and must yield the same samples each time"
        raise fail(f"{where} is a DataLoader that shuffles", help=help, code=Code.LOADER)
