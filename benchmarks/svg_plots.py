"""Plots as SVG files that are the same on every run with the same numbers. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def panels(count: int) -> tuple[Any, list[Any]]:
    """A figure, and the axes of `count` panels beside each other."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "vggc", "font.size": 10, "svg.fonttype": "none"})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(4 * count, 3.4), squeeze=False)
    return figure, list(axes[0])


def save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
