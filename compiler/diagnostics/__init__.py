"""Messages for the person who wrote the recipe, and the places in it that they point at."""

from vggc.diagnostics.codes import Code
from vggc.diagnostics.declined import Declined
from vggc.diagnostics.diagnostic import (
    CompileError,
    Diagnostic,
    Diagnostics,
    RequirementNotMet,
    Severity,
    at,
    fail,
    first_line,
    nearest,
    placed,
    render,
    short_text,
    spelling_help,
)
from vggc.diagnostics.source import Source, Span

__all__ = [
    "Code",
    "CompileError",
    "Declined",
    "Diagnostic",
    "Diagnostics",
    "RequirementNotMet",
    "Severity",
    "Source",
    "Span",
    "at",
    "fail",
    "first_line",
    "nearest",
    "placed",
    "render",
    "short_text",
    "spelling_help",
]
