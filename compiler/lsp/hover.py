"""What a word of a recipe means: the documentation of what it names, and what the last compile measured on its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vggc.binding.call_texts import call_text, options_markdown
from vggc.binding.registry import shipped
from vggc.diagnostics import Span
from vggc.diagnostics.number_text import human_bytes, human_count
from vggc.grammar import syntax
from vggc.lsp.neighbours import last_report, used_recipes
from vggc.lsp.recipe_text import RecipeText, walk
from vggc.options.schema import OptionFunction
from vggc.options.type_text import catalogue_text

_IS_OPTION = re.compile(r"\s*=(?!=)")

KEYWORD_TEXTS = {
    "param": "`param name = value` declares a value that `--set name=value` overrides.",
    "data": "`data name = loader(...)` declares a data set. Paths are relative to the recipe.",
    "use": '`use "file"` brings in the definitions and rules of a recipe, or the passes of a Python file.',
    "define": "`define name(parameters) { steps }` gives steps a name.",
    "rule": "`rule name { pattern => replacement }` declares a rewrite, which is a step with this name.",
    "repeat": "`repeat { steps }` runs its steps until the graph stops changing.",
    "when": "`when condition { steps } else { steps }` runs one of the blocks.",
    "require": "`require measure >= limit else fail | rollback | warn` is a gate: what must hold where it is written.",
    "target": "`target name(...)` says what to write.",
    "original": "`original` is the measure beside it, of the model as it was read.",
}


def hover(recipe: RecipeText, offset: int, folders: tuple[Path, ...] = ()) -> str | None:
    """Markdown about the word at an offset; None when nothing is known about it."""
    word = recipe.word(offset)
    if word is None:
        return None
    parts = [text for text in (_meaning(recipe, word), _measured(recipe, word.line, folders)) if text]
    return "\n\n".join(parts) or None


def _meaning(recipe: RecipeText, word: Span) -> str | None:
    cursor, name = recipe.cursor(word.start), word.text
    if cursor.quoted is not None:
        return None
    called = function_named(cursor.call)
    if called is not None and name in called.schema.by_name and _IS_OPTION.match(recipe.text, word.end):
        option = called.schema.by_name[name]
        default = "required" if option.required else "optional"
        return f"`{name}` of `{called.name}`: {catalogue_text(option.annotation)}, {default}\n\n{option.doc}"
    if declared := _declared(recipe, name):
        return f"```opt\n{declared}\n```"
    if name in KEYWORD_TEXTS:
        return KEYWORD_TEXTS[name]
    function = function_named(name)
    return None if function is None else function_page(function)


def function_named(name: str) -> OptionFunction | None:
    """The pass, target, loader or measure that comes with vggc and has this name."""
    registry = shipped()
    for kind in (registry.passes, registry.targets, registry.loaders, registry.measures):
        if name in kind:
            function = kind[name]
            assert isinstance(function, OptionFunction)
            return function
    return None


def function_page(function: OptionFunction) -> str:
    """A pass, target, loader or measure: how it is called, what it does, its options."""
    text = function.doc.partition("Options:")[0].strip()
    options = function.schema.options
    table = "\n".join(options_markdown(options)) if options else ""
    return "\n\n".join(part for part in (f"```opt\n{call_text(function)}\n```", text, table) if part)


def _declared(recipe: RecipeText, name: str) -> str | None:
    """The first line of the statement that declares a name here or in a recipe that is used."""
    for each in (recipe, *used_recipes(recipe)):
        for statement in walk(each.statements):
            declares = syntax.ParamStatement | syntax.DataStatement | syntax.DefineStatement | syntax.RuleStatement
            if isinstance(statement, declares) and statement.name.name == name:
                return statement.span.text.splitlines()[0]
    return None


def _measured(recipe: RecipeText, line: int, folders: tuple[Path, ...]) -> str | None:
    """What the last compile of the recipe measured on a line, if its text has not changed since."""
    report = last_report(recipe.path, folders)
    if report is None or _line(report["recipe"].get("text", ""), line) != _line(recipe.text, line):
        return None
    place = f"{recipe.path.name}:{line}"
    found = [_step(each) for each in report["steps"] if each["line"] == place]
    found += [
        f"measured {each['measured']}, wanted {each['wanted']}: {each['outcome']}"
        for each in report["requirements"]
        if each["line"] == place
    ]
    return "Last compile: " + "; ".join(found) if found else None


def _line(text: str, number: int) -> str | None:
    lines = text.splitlines()
    return lines[number - 1].strip() if number <= len(lines) else None


def _step(step: dict[str, Any]) -> str:
    before, after = step["before"], step["after"]
    changes = sum(step["changes"].values())
    counts = ", ".join(
        f"{name} {show(before[name])} → {show(after[name])}"
        for name, show in (
            ("nodes", human_count),
            ("params", human_count),
            ("macs", human_count),
            ("bytes", human_bytes),
        )
        if before[name] != after[name] and None not in (before[name], after[name])
    )
    return f"`{step['name']}` made {changes} changes in {step['seconds']:.2f} s" + (f" ({counts})" if counts else "")
