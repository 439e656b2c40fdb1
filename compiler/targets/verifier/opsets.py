"""Operator sets: TensorRT imports any opset, but gives operators the meaning of the opsets that it supports."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from vggc.diagnostics import Code
from vggc.graph.domains import is_standard
from vggc.targets.node_names import all_nodes
from vggc.targets.verifier.finding import Finding, LoweredGraph

OLDEST_OPSET = 7
"""The importer warns about older ones ("not guaranteed to work") and refuses nodes with their broadcasting."""

NEWEST_OPSET: dict[str, tuple[tuple[tuple[int, int], int], ...]] = {
    # 10.0 and 10.15 by the importer's operator tables, 10.6 by the ONNX release it was built with (1.17), 11.5 by its
    # release notes. The importer itself accepts any number without a warning.
    "tensorrt": (((10, 0), 20), ((10, 6), 22), ((10, 15), 24), ((11, 5), 25)),
    # An estimate, because it is not published: 1.7's `supports_operator` reports all operators that are new in 23
    # and 24 (25 has none), but not BitCast and CumProd of 26. Older releases were not tested.
    "tensorrt_rtx": (((1, 0), 25),),
}
"""By flavour, releases, and the newest opset of ONNX's own operators that they and later ones support."""


def newest_opset(flavour: str, release: tuple[int, int]) -> int:
    """The newest opset that a release of a flavour supports. Releases newer than the table get its last entry."""
    known = NEWEST_OPSET[flavour]
    return max((opset for since, opset in known if since <= release), default=known[0][1])


def known_opset(subject: LoweredGraph) -> Iterator[Finding]:
    """The release must support the model's opset, or at least all of its operators as that opset defines them.

    The importer reads any opset; an operator that has not changed since a supported one has the same meaning.
    """
    opset = subject.graph.opset
    newest = newest_opset(subject.flavour, subject.release)
    known = f"{subject.titled_release} supports opsets {OLDEST_OPSET} to {newest}"
    if opset < OLDEST_OPSET:
        text = f"the model uses opset {opset}, but {known}"
        yield Finding(text, text, help="export it again with opset 17", code=Code.UNSUPPORTED_OPSET)
    elif opset > newest:
        for node in all_nodes(subject.graph):
            if is_standard(node) and (since := _defined_in(node.op, opset)) > newest:
                yield Finding(
                    f"{subject.graph.label(node)} is defined by opset {since}, but {known}",
                    f"it is defined by opset {since}, but {known}",
                    node,
                    help=f"export the model again with opset {newest} or older",
                    code=Code.UNSUPPORTED_OPSET,
                )


def _defined_in(op: str, opset: int) -> int:
    """The opset that an operator has its definition from, in a model of `opset`."""
    try:
        return onnx.defs.get_schema(op, opset).since_version
    except onnx.defs.SchemaError:
        # Not one of the onnx package: the importer decides.
        return 0
