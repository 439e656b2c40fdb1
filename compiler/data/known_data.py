"""What is known of a data set of a recipe before its samples are used."""

from __future__ import annotations

from dataclasses import dataclass

from vggc.data.dataset import Dataset
from vggc.data.loader import Loader


@dataclass(frozen=True)
class KnownData:
    """A data set in the checks that come before all work.

    name      the name in the recipe
    place     where the recipe declares it
    loader    the loader, and `given` the names of the options that the recipe gives to it
    samples   the data set when it is open, which it is only when there is a model to check
    """

    name: str
    place: str
    loader: Loader
    given: frozenset[str]
    samples: Dataset | None = None

    @property
    def unlabelled(self) -> bool:
        """Whether it has no labels for certain. A user's loader shows this only when it is called."""
        if self.samples is not None:
            return self.samples.unlabelled
        option = self.loader.label_option
        return option is not None and option not in self.given

    @property
    def label_help(self) -> str:
        """What to write to get labels."""
        return self.loader.label_help or 'let the loader return the class numbers as "labels"'
