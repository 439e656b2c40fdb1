"""The subject of a rule, and the findings that it reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from vggc.diagnostics import Code, Diagnostic, Severity
from vggc.graph import Graph
from vggc.targets.engine_messages import TITLES
from vggc.targets.node_names import origin_facts


@dataclass(frozen=True)
class LoweredGraph:
    """The graph to be lowered, with types and shapes inferred, and the TensorRT that it is lowered for.

    `flavour` is "tensorrt" or "tensorrt_rtx", `release` its release as in (1, 7), `compute` the requested capabilities
    as in ("sm86", "sm89"), empty when there are none.
    """

    graph: Graph
    flavour: str
    release: tuple[int, int]
    compute: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return TITLES[self.flavour]

    @property
    def titled_release(self) -> str:
        """`TensorRT RTX 1.7`"""
        return f"{self.title} {'.'.join(str(each) for each in self.release)}"


@dataclass(frozen=True)
class Finding:
    """Something that TensorRT would refuse, compute wrongly, or (as a warning) run slowly.

    `message` is a complete sentence. `reason` is the text for a table row that already names the `node`.
    """

    message: str
    reason: str
    node: gs.Node | None = None
    facts: tuple[tuple[str, str], ...] = ()
    help: str = ""
    code: Code = Code.UNSUPPORTED_NODE
    severity: Severity = "error"

    def diagnostic(self) -> Diagnostic:
        """The finding as a message, with the recipe line and the nodes that its node was made from."""
        origin = origin_facts(self.node) if self.node is not None else ()
        return Diagnostic(
            self.message, facts=(*origin, *self.facts), help=self.help, severity=self.severity, code=self.code
        )


def cannot_build(
    subject: LoweredGraph,
    node: gs.Node,
    reason: str,
    help: str,
    *,
    behind: str = "",
    code: Code = Code.UNSUPPORTED_NODE,
) -> Finding:
    """The finding that a node is not built, for this reason; `behind` is put after the node's name in the message."""
    message = f"{subject.title} cannot build {subject.graph.label(node)}{behind}"
    return Finding(message, reason, node, facts=(("note", reason),), help=help, code=code)


Rule = Callable[[LoweredGraph], Iterator[Finding]]
