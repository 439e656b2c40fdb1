"""Passes, loaders, measures and targets that do nothing, for tests of binding: their signatures are what counts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from vggc.data import Dataset, loader
from vggc.graph import Graph
from vggc.measures import Subject, measure
from vggc.rewrite import whole_graph
from vggc.targets.contract import Artifact, Lowering, target
from vggc.values import Bytes, Dimension, File, Folder, Interval, Names, Ratio, Seconds, Within


@whole_graph
def simplify(graph: Graph, *, largest: Bytes | None = None) -> None:
    """Do nothing.

    Options:
        largest: fold no constant into a larger one.
    """


@whole_graph
def fold_batch_norm(graph: Graph) -> None:
    """Do nothing."""


@whole_graph(exact=False)
def prune_channels(
    graph: Graph,
    macs: Ratio,
    data: Dataset | None = None,
    *,
    align: Annotated[int, Within(1, 4096)] = 8,
    except_: Names = Names(),  # noqa: B008
) -> None:
    """Do nothing.

    Options:
        macs: the share of the multiplications
            that remains.
        data: samples to measure with.
        align: channels stay a multiple of this.
        except: nodes to leave alone.
    """


@whole_graph(exact=False)
def quantize(
    graph: Graph,
    type: Literal["int8", "fp8"],
    *,
    data: Dataset | None = None,
    calibration: Literal["entropy", "minmax", "percentile"] = "entropy",
    percentile: float = 99.9,
    bits: Literal[4, 8] = 8,
    symmetric: bool = True,
    time: Seconds | None = None,
    note: str = "",
    window: Interval | None = None,
    groups: list[int] | None = None,
    pair: tuple[int, int] | None = None,
    threshold: float | Literal["auto"] = "auto",
) -> None:
    """Do nothing."""


@loader
def npz(base: Path, path: File, *, limit: int | None = None, label: str | None = None) -> Any:
    """Give nothing.

    Options:
        path: the file.
    """
    return {}


@loader
def images(base: Path, folder: Folder, *, size: int = 224) -> Any:
    """Give nothing."""
    return {}


@measure(better="higher")
def accuracy(subject: Subject, data: Dataset) -> Ratio:
    """Nothing.

    Options:
        data: samples with class numbers.
    """
    return Ratio(1.0)


@measure(better="higher", unit="dB")
def sqnr(subject: Subject, data: Dataset) -> float:
    """Nothing."""
    return 1.0


@measure(better="lower")
def size(subject: Subject) -> Bytes:
    """Nothing."""
    return Bytes(1)


@measure(better="lower")
def latency(subject: Subject, *, batch: int = 1) -> Seconds:
    """Nothing."""
    return Seconds(1.0)


@measure(better="lower", unit="nodes")
def nodes(subject: Subject) -> int:
    """Nothing."""
    return 1


@measure(better="lower")
def max_abs_error(subject: Subject, data: Dataset) -> float:
    """Nothing."""
    return 0.0


@target(files=lambda options: (options["name"], options["name"] + ".data"))
def onnx(lowering: Lowering, *, external: bool = False, name: str = "model.onnx") -> list[Artifact]:
    """Write nothing."""
    return []


@target
def tensorrt_rtx(
    lowering: Lowering,
    *,
    compute: list[Literal["sm80", "sm86", "sm89"]] | None = None,
    shapes: dict[str, list[Dimension]] | None = None,
    batch: Dimension | None = None,
    workspace: Bytes | None = None,
    name: str = "model.engine",
) -> list[Artifact]:
    """Write nothing."""
    return []
