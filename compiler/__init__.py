"""vggc: a declarative graph-rewriting compiler for convolutional networks.

From Python: `vggc.compile`, `vggc.check`, `vggc.plan` and `vggc.search`. They and their types are loaded when they are
first used, so that `import vggc` loads nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vggc.api import (
        Check,
        CompileError,
        Dataset,
        Diagnostic,
        Graph,
        Plan,
        ProgressUpdate,
        Report,
        RequirementNotMet,
        Result,
        Search,
        SearchTrial,
        check,
        compile,
        plan,
        search,
    )

__version__ = "0.1.0"

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
    "__version__",
    "check",
    "compile",
    "plan",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module `vggc` has no attribute `{name}`")
    value = globals()[name] = getattr(import_module("vggc.api"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
