"""Operator sets: any number is imported, with the meaning operators had in the ones TensorRT knows."""

from __future__ import annotations

from collections.abc import Iterator

from vggc.targets.verifier.finding import Finding, Subject

OLDEST_OPSET = 7
"""The importer warns of older ones ("not guaranteed to work") and refuses their broadcasting node by node."""

NEWEST_OPSET: dict[str, tuple[tuple[tuple[int, int], int], ...]] = {
    # 10.0 and 10.15 by the importer's operator tables, 10.6 by the ONNX release it was built with (1.17), 11.5 by its
    # release notes. The importer itself takes any number without a word.
    "tensorrt": (((10, 0), 20), ((10, 6), 22), ((10, 15), 24), ((11, 5), 25)),
    # Published nowhere, so an estimate from asking 1.7 (`supports_operator`): it has all operators that are new in 23
    # and 24, 25 brings none, and it lacks BitCast and CumProd of 26. Older releases were not asked.
    "tensorrt_rtx": (((1, 0), 25),),
}
"""By flavour, the newest opset of ONNX's own operators that a release and those after it know."""


def newest_opset(flavour: str, release: tuple[int, int]) -> int:
    """The newest opset that a release of a flavour knows; of a release newer than this table, the table's last."""
    known = NEWEST_OPSET[flavour]
    return max((opset for since, opset in known if since <= release), default=known[0][1])


def known_opset(subject: Subject) -> Iterator[Finding]:
    """The model's opset is one that the release knows."""
    opset = subject.graph.opset
    newest = newest_opset(subject.flavour, subject.release)
    if not OLDEST_OPSET <= opset <= newest:
        known = f"{subject.titled_release} knows {OLDEST_OPSET} to {newest}"
        yield Finding(
            f"the model is written in opset {opset}, and {known}",
            f"opset {opset}: {known}",
            help=f"export it again with opset {newest} or older" if opset > newest else "export it again with opset 17",
        )
