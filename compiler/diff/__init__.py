"""What differs between two models: their structure, and their numbers on the same inputs."""

from vggc.diff.model import ModelDiff, diff_models
from vggc.diff.numbers import Numbers, ValueDifference
from vggc.diff.structure import NodeChange, Structure

__all__ = ["ModelDiff", "NodeChange", "Numbers", "Structure", "ValueDifference", "diff_models"]
