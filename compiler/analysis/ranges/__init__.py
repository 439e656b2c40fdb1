"""Between which numbers the values of a graph lie, for any finite input: interval arithmetic, channel by channel.

ranges = Ranges(graph)              the nodes must be in order
ranges.of(value)                    Range(low, high)
ranges.along(value, axis, size)     the same for each position along one axis
"""

# Importing the families registers their operators.
from vggc.analysis.ranges import data_movement, elementwise, weighted  # noqa: F401
from vggc.analysis.ranges.range import UNBOUNDED, Range
from vggc.analysis.ranges.ranges import Ranges

__all__ = ["UNBOUNDED", "Range", "Ranges"]
