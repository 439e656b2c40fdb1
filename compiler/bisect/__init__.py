"""Find the step of a recipe that costs the most, and the changes that cause this, for `vggc bisect`."""

from vggc.bisect.reproduction import Reproduction, reproduce
from vggc.bisect.search import Bisection, bisect
from vggc.bisect.stages import Stage

__all__ = ["Bisection", "Reproduction", "Stage", "bisect", "reproduce"]
