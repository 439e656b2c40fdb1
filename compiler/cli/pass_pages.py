"""Pages about passes: the list of passes, each pass with its options, and the catalogue of the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from vggc.binding.call_texts import call_text, default_text, options_markdown
from vggc.binding.registry import shipped
from vggc.cli.tables import plain_table
from vggc.diagnostics import Code, fail, spelling_help
from vggc.options.schema import Option
from vggc.options.type_text import catalogue_text


def pass_list() -> RenderableType:
    """A row for each pass: its name, whether it is exact, and what it does."""
    table = plain_table("pass", "", "what it does")
    for each in shipped().passes.values():
        table.add_row(each.name, "exact" if each.exact else "lossy", _first_sentence(each.summary))
    return table


def pass_page(name: str) -> RenderableType:
    """One pass: how a recipe calls it, what it does, and its options. Raises CompileError for an unknown name."""
    passes = shipped().passes
    if name not in passes:
        raise fail(f"unknown pass `{name}`", help=spelling_help(name, passes, "passes"), code=Code.UNKNOWN_PASS)
    shown = passes[name]
    options = shown.schema.options
    kind = "exact: the results of the model stay the same" if shown.exact else "lossy: the results of the model change"
    parts: list[RenderableType] = [Text(call_text(shown), style="bold"), Text(kind), Text(), Text(shown.summary)]
    if shown.details:
        parts += [Text(), Text(shown.details)]
    if options:
        parts.append(options_table(options))
    return Group(*parts)


def options_table(options: Sequence[Option]) -> RenderableType:
    """A row for each option of a pass or a target."""
    table = plain_table("\noption", "\ntype", "\ndefault", "\nmeaning")
    for each in options:
        table.add_row(each.name, catalogue_text(each.annotation), default_text(each), each.doc)
    return table


def catalogue() -> str:
    """The text of docs/passes.md: every pass with its options, from the docstrings."""
    lines = [
        "# Passes",
        "",
        "`vggc passes --markdown` makes this page from the docstrings of the passes. Exact passes keep the results of",
        "the model, and vggc checks this numerically. Lossy passes change the results. `vggc passes NAME` shows one",
        "pass in the terminal.",
    ]
    for listed in shipped().passes.values():
        kind = "exact" if listed.exact else "lossy"
        lines += ["", f"## {listed.name}", "", f"`{call_text(listed)}` ({kind})", "", listed.summary]
        lines += ["", listed.details] if listed.details else []
        options = listed.schema.options
        if options:
            lines += ["", *options_markdown(options)]
    return "\n".join(lines) + "\n"


def _first_sentence(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())
