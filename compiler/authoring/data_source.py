"""The samples that a user names: a folder, a file or a loader call, as the loader call that reads them."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from pathlib import Path

from vggc.authoring.guess import Guess
from vggc.authoring.preparation import guessed_images
from vggc.data.images import SUFFIXES
from vggc.data.stored import open_npz
from vggc.diagnostics import Code, fail
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.options import spell

_LABEL_NAMES = ("label", "labels", "target", "targets", "y", "class", "classes")
"""What arrays of class numbers are usually called."""


@dataclass(frozen=True)
class DataSource:
    """A loader call in parts: `images("photos", size=224)`; `path` is the text of its first argument."""

    loader: str
    path: str
    guesses: tuple[Guess, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether it gives labels."""
        return any(each.name in ("label", "labels") for each in self.guesses)

    @property
    def call(self) -> str:
        """The call in one line."""
        return f"{self.loader}({', '.join([spell(self.path), *(each.text for each in self.guesses)])})"

    @property
    def lines(self) -> list[str]:
        """The call in lines, each guess below a comment with its reason."""
        if not any(each.reason for each in self.guesses):
            return [self.call]
        lines = [f"{self.loader}(", f"    {spell(self.path)},"]
        for each in self.guesses:
            if each.reason:
                sure = "Found" if each.certain else "Guessed"
                lines += [f"    # {line}" for line in _wrapped(f"{sure}: {each.reason}.")]
            lines.append(f"    {each.text},")
        return [*lines, ")"]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 108, break_long_words=False, break_on_hyphens=False)


def data_source(graph: Graph, given: Path, folder: Path) -> DataSource:
    """The loader call for a path, which is relative to the current folder; the call's path is relative to `folder`.

    Raises CompileError when nothing is there, or it does not suit the model.
    """
    written = Path(os.path.relpath(given, folder)).as_posix() if not given.is_absolute() else given.as_posix()
    if given.is_dir():
        return DataSource("images", written, guessed_images(graph, given))
    if not given.exists():
        raise fail(
            f"there is no file or folder `{given}`", help="name a folder of images, or a .npz file", code=Code.NO_FILE
        )
    if given.suffix.lower() == ".npy":
        return DataSource("npy", written)
    if given.suffix.lower() != ".npz":
        help = "name a folder of images, a .npz file, or a .npy file; for other data write a loader (docs/data.md)"
        if given.suffix.lower() in SUFFIXES:
            help = f"one image is not enough: name its folder, `{given.parent}`"
        raise fail(f"`{given}` is neither a folder of images nor a file of arrays", help=help, code=Code.NO_FILE)
    return DataSource("npz", written, _npz_options(graph, given))


def _npz_options(graph: Graph, path: Path) -> tuple[Guess, ...]:
    arrays = open_npz(path)
    inputs = [each.name for each in inputs_of(graph)]
    label = next((name for name in _LABEL_NAMES if name in arrays and name not in inputs), None)
    guesses = []
    if label is not None and len(arrays[label].header.shape) == 1 and arrays[label].header.dtype.kind in "iu":
        guesses.append(Guess("label", spell(label), f"the array `{label}` has a whole number for each sample"))
    else:
        label = None
    others = [name for name in arrays if name != label]
    if len(inputs) == 1 and inputs[0] not in others and len(others) == 1:
        mapping = f"{{{spell(inputs[0])}: {spell(others[0])}}}"
        guesses.append(Guess("inputs", mapping, f"`{others[0]}` is the only array for the input `{inputs[0]}`"))
    return tuple(guesses)
