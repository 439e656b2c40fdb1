"""The pictures of samples on a page. They are not in report.json."""

from __future__ import annotations

from dataclasses import dataclass

from vggc.data.pictures import Picture


@dataclass(frozen=True)
class DataSheet:
    """Some samples of a data set."""

    name: str
    description: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class PagePictures:
    """`worst` belongs to the samples on which the models differ most; None for a sample that is not an image."""

    worst: tuple[Picture | None, ...] = ()
    sheets: tuple[DataSheet, ...] = ()


NO_PICTURES = PagePictures()
