"""Compare two models: their structure, and their numbers on the same inputs."""

from vggc.diff.model import ModelDiff, diff_models
from vggc.diff.numbers import NumericDiff, ValueDifference
from vggc.diff.structure import NodeChange, Structure

__all__ = ["ModelDiff", "NodeChange", "NumericDiff", "Structure", "ValueDifference", "diff_models"]
