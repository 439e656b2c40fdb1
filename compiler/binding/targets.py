"""`target` statements: the target, its options, and the files it will write."""

from __future__ import annotations

from vggc.binding.arguments import bind_arguments
from vggc.binding.files import must_be_file
from vggc.binding.scope import Scope
from vggc.bound import BoundTarget
from vggc.diagnostics import Diagnostics, at, fail, spelling_help
from vggc.grammar import syntax
from vggc.options import schema
from vggc.source import Span
from vggc.targets.contract import file_name_problem
from vggc.values import File


def bind_target(statement: syntax.Target, scope: Scope, taken: dict[str, Span]) -> BoundTarget:
    """The target with its options. `taken` holds the files that targets before it write, and gets its own.

    Raises CompileError with everything wrong in the statement, and Undetermined.
    """
    call = statement.call
    targets = scope.registry.targets
    if call.name not in targets:
        help = spelling_help(call.name, targets, "targets")
        raise fail(f"unknown target `{call.name}`", call.name_span, help=help)
    target = targets[call.name]
    options = bind_arguments(call, schema(target.function), scope, target.lacking)
    for name, option in options.items():
        if isinstance(option, File):
            with at(call.span):
                must_be_file(scope.folder / option)
            options[name] = File(scope.folder / option)
    found = Diagnostics()
    for name in target.files(options):
        if problem := file_name_problem(name):
            found.error(problem.message, call.span, help=problem.help)
            break
        if name in taken:
            note = ("note", f"the first one stands at {taken[name].place}")
            stem, dot, suffix = name.partition(".")
            help = f'give one of them another name: name="{stem}_2{dot}{suffix}"'
            found.error(f"two targets write the file `{name}`", call.span, facts=(note,), help=help)
            break
    found.raise_errors()
    taken |= dict.fromkeys(target.files(options), call.span)
    return BoundTarget(target, options, call.span)
