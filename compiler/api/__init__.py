"""vggc from Python: the functions and types that `import vggc` offers."""

from vggc.api.functions import check, compile, plan
from vggc.api.progress import ProgressUpdate
from vggc.api.results import Check, Plan, Result
from vggc.api.searching import Search, SearchTrial, search
from vggc.data import Dataset
from vggc.diagnostics import CompileError, Diagnostic, RequirementNotMet
from vggc.graph import Graph
from vggc.report.record import Report

__all__ = [
    "Check",
    "CompileError",
    "Dataset",
    "Diagnostic",
    "Graph",
    "Plan",
    "ProgressUpdate",
    "Report",
    "RequirementNotMet",
    "Result",
    "Search",
    "SearchTrial",
    "check",
    "compile",
    "plan",
    "search",
]
