"""Check the arguments of a call in a rule against the parameters of the function, when the rule is bound."""

from __future__ import annotations

from vggc.diagnostics import Code, Diagnostic, spelling_help
from vggc.diagnostics.number_text import counted
from vggc.grammar import pattern_syntax as syntax
from vggc.pattern.functions.function import Function


def check_arguments(call: syntax.CallTerm, function: Function) -> list[Diagnostic]:
    """What is wrong with the number and the names of a call's arguments, the first thing only."""
    given = [each for each in call.arguments if each.name is None]
    names = [each.name.name for each in call.arguments if each.name is not None]
    usage = f"write {function.usage}"
    for each in call.arguments:
        if each.name is not None and each.name.name not in function.names:
            help = spelling_help(each.name.name, function.names, "its arguments by name") or usage
            message = f"`{call.name}` has no argument `{each.name.name}`"
            return [Diagnostic(message, each.name.span, help=help, code=Code.RULE_FUNCTION)]
    first_named = next((at for at, each in enumerate(call.arguments) if each.name is not None), None)
    if first_named is not None and any(each.name is None for each in call.arguments[first_named:]):
        late = next(each for each in call.arguments[first_named:] if each.name is None)
        return [
            Diagnostic(
                "an argument without a name follows one with a name", late.span, help=usage, code=Code.RULE_FUNCTION
            )
        ]
    positional = function.positional
    if not function.variadic and len(given) > len(positional):
        count = counted(len(positional), "argument")
        return [
            Diagnostic(
                f"`{call.name}` takes {count} without a name, not {len(given)}",
                call.span,
                help=usage,
                code=Code.RULE_FUNCTION,
            )
        ]
    covered = [*positional[: len(given)], *names]
    twice = next((name for name in covered if covered.count(name) > 1), None)
    if twice:
        return [
            Diagnostic(f"`{twice}` is given twice to `{call.name}`", call.span, help=usage, code=Code.RULE_FUNCTION)
        ]
    missing = [name for name in function.required if name not in covered]
    if function.variadic and not given:
        missing.append("x")
    if missing:
        listed = ", ".join(f"`{each}`" for each in missing)
        return [Diagnostic(f"`{call.name}` needs {listed}", call.span, help=usage, code=Code.RULE_FUNCTION)]
    return []
