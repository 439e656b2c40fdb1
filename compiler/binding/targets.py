"""Bind `target` statements: the target, its options, and the files it will write."""

from __future__ import annotations

from vggc.binding.arguments import bind_arguments
from vggc.binding.files import must_be_file
from vggc.binding.scope import Scope, Undetermined
from vggc.diagnostics import Code, Diagnostics, at, fail, nearest, spelling_help
from vggc.diagnostics.source import Span
from vggc.grammar import syntax
from vggc.pipeline.model import BoundTarget
from vggc.targets.contract import Target
from vggc.values import File

Written = dict[str, tuple[str, Span]]
"""By file: the target that writes it, and the place of that target."""


def bind_target(statement: syntax.TargetStatement, scope: Scope, taken: Written) -> BoundTarget:
    """The target with its options. `taken` holds the files of the targets before it, and receives its own.

    Raises CompileError with everything wrong in the statement, and Undetermined.
    """
    call = statement.call
    target = _target(call, scope)
    options = bind_arguments(call, target.schema, scope, target.lacking)
    for name, option in options.items():
        if isinstance(option, File):
            with at(call.span):
                must_be_file(scope.folder / option)
            options[name] = File(scope.folder / option)
    diagnostics = Diagnostics()
    for name in target.files(options):
        if problem := target.name_problem(name):
            diagnostics.error(problem.message, call.span, help=problem.help, code=Code.FILE_NAMES)
            break
        if name in taken:
            note = ("note", f"the first one stands at {taken[name][1].place}")
            stem, dot, suffix = name.partition(".")
            help = f'give one of them another name: name="{stem}_2{dot}{suffix}"'
            if target.folders:
                help = f"give one of them another folder than `{name.rpartition('/')[0]}`"
            diagnostics.error(
                f"two targets write the file `{name}`", call.span, facts=(note,), help=help, code=Code.FILE_NAMES
            )
            break
    for name, writers in target.reads(options).items():
        writer, span = taken.get(name, ("", call.span))
        if writer not in writers:
            wanted = " or ".join(f"`target {each}`" for each in writers)
            what = f"`target {writer}` writes" if writer else "no target before it writes"
            facts = (("note", f"it stands at {span.place}"),) if writer else ()
            diagnostics.error(
                f"`{call.name}` needs `{name}`, which {what}",
                call.span,
                facts=facts,
                help=f"write {wanted} before this target",
                code=Code.NO_ENGINE,
            )
    diagnostics.raise_errors()
    taken |= dict.fromkeys(target.files(options), (call.name, call.span))
    return BoundTarget(target, options, call.span)


def _target(call: syntax.Call, scope: Scope) -> Target:
    """The target with the name of a call: of a used Python file, or one of vggc's own."""
    declared = scope.find(call.name)
    if declared is not None and isinstance(declared.meaning, Target):
        return declared.meaning
    targets = scope.registry.targets
    if call.name in targets:
        return targets[call.name]
    names = [*targets, *scope.named("target")]
    if scope.incomplete and not nearest(call.name, names):
        raise Undetermined
    raise fail(
        f"unknown target `{call.name}`",
        call.name_span,
        help=spelling_help(call.name, names, "targets"),
        code=Code.UNKNOWN_TARGET,
    )
