"""The version of a distribution in this Python."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def version_of(distribution: str) -> str:
    """The version, "" when it is not known."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
