"""What TensorRT rejects late or takes in silence, found in a graph before any engine is built.

One set of rules for three doors: a target when it lowers, `vggc inspect --target`, and `vggc lint`.
"""

from vggc.targets.verifier.finding import Finding, Subject
from vggc.targets.verifier.rules import findings, refusals

__all__ = ["Finding", "Subject", "findings", "refusals"]
