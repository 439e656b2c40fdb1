"""Find what TensorRT rejects late or computes wrongly without a warning, in a graph, before any engine is built.

The same rules serve the targets when they lower a graph, `vggc inspect --target`, and `vggc lint`.
"""

from vggc.targets.verifier.finding import Finding, LoweredGraph
from vggc.targets.verifier.rules import findings, refusals

__all__ = ["Finding", "LoweredGraph", "findings", "refusals"]
