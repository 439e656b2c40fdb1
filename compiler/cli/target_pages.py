"""Pages about targets: the list of targets, and the options of each."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from vggc.binding.call_texts import options_markdown
from vggc.binding.registry import shipped
from vggc.cli.function_pages import paragraphs
from vggc.cli.pass_pages import options_table
from vggc.cli.tables import plain_table
from vggc.diagnostics import Code, fail, spelling_help


def target_list() -> RenderableType:
    """A row for each target: its name and what it writes."""
    table = plain_table("target", "what it writes")
    for each in shipped().targets.values():
        table.add_row(each.name, paragraphs(each)[0])
    return table


def target_page(name: str) -> RenderableType:
    """One target: what it writes and its options. Raises CompileError for an unknown name."""
    targets = shipped().targets
    if name not in targets:
        raise fail(f"unknown target `{name}`", help=spelling_help(name, targets, "targets"), code=Code.UNKNOWN_TARGET)
    table = options_table(targets[name].schema.options)
    return Group(Text(f"target {name}", style="bold"), *(Text(each) for each in paragraphs(targets[name])), table)


def option_tables() -> str:
    """The options of all targets in Markdown, for docs/targets.md."""
    lines = []
    for listed in shipped().targets.values():
        table = options_markdown(listed.schema.options)
        lines += [f"### {listed.name}", "", *paragraphs(listed), "", *table, ""]
    return "\n".join(lines)
