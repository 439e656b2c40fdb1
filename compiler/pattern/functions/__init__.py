"""The functions that rules can call, by name."""

from vggc.pattern.functions import arithmetic, arrays, facts
from vggc.pattern.functions.function import Function, call, found_in

FUNCTIONS: dict[str, Function] = {
    each.name: each for module in (arithmetic, arrays, facts) for each in found_in(module)
}

__all__ = ["FUNCTIONS", "Function", "call"]
