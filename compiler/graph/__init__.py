"""The graph being rewritten: onnx-graphsurgeon's, with what it loses kept and weights left on disk."""

from vggc.graph.editing import ChangeLog, Destination, RuleTally
from vggc.graph.exporting import Exported
from vggc.graph.graph import Graph
from vggc.graph.weights import Array, StoredWeights
from vggc.graph.writing import Written

__all__ = ["Array", "ChangeLog", "Destination", "Exported", "Graph", "RuleTally", "StoredWeights", "Written"]
