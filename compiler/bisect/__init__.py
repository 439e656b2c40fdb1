"""Which step of a recipe costs the most, and which of its changes: what `vggc bisect` finds."""

from vggc.bisect.reproduction import Reproduction, reproduce
from vggc.bisect.search import Bisection, bisect
from vggc.bisect.stages import Stage

__all__ = ["Bisection", "Reproduction", "Stage", "bisect", "reproduce"]
