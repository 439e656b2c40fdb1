"""How recipes call passes and targets: a call with its defaults, and the options as a table in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from vggc.options import spell
from vggc.options.schema import Option, OptionFunction
from vggc.options.type_text import catalogue_text


def options_markdown(options: Sequence[Option]) -> list[str]:
    """The lines of a Markdown table with a row for each option."""
    lines = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for option in options:
        kind = catalogue_text(option.annotation).replace("|", "\\|")
        lines.append(f"| `{option.name}` | {kind} | {default_text(option)} | {option.doc} |")
    return lines


def call_text(called: OptionFunction) -> str:
    """The call of a pass, loader, measure or target in a recipe, with the defaults of its options: `prune(align=8)`."""
    options = called.schema.options
    words = [f"{each.name}={'...' if each.required else default_text(each)}" for each in options]
    return f"{called.name}({', '.join(words)})" if words else called.name


def default_text(option: Option) -> str:
    """An option's default in the syntax of recipes."""
    if option.required:
        return "required"
    is_word = isinstance(option.default, str) and option.default.isidentifier()
    return option.default if is_word else spell(option.default)
