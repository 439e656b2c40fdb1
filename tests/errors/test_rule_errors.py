"""Each malformed rule of rules/ gives exactly the messages below its `---`; `--bless` rewrites those.

The rules are bound as `vggc check` does without a model, or, with a line `# opset 13`, for a model of that opset.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vggc.binding import bind
from vggc.binding.registry import Registry
from vggc.diagnostics import CompileError, Diagnostic, render
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.rewrite import check_rules

HERE = Path(__file__).with_name("rules")
FIXTURES = sorted(HERE.glob("*.txt"))


def messages(recipe: str, vocabulary: Registry) -> str:
    """What the terminal shows of the errors of a recipe's rules, or of the warnings about right ones."""
    opset = re.search(r"^# opset (\d+)$", recipe, re.MULTILINE)
    model = Graph(nodes=[], opset=int(opset[1])) if opset else None
    found: list[Diagnostic] = []
    try:
        pipeline = bind(parse(Source("recipe.opt", recipe)), registry=vocabulary)
        found = [*pipeline.warnings, *check_rules(pipeline.all_rules(), model)]
    except CompileError as error:
        found = list(error.diagnostics)
    assert found, "the rules are right"
    return "\n\n".join(render(each) for each in found) + "\n"


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_messages(path: Path, vocabulary: Registry, bless: bool) -> None:
    recipe, separator, expected = path.read_text(encoding="utf-8").rpartition("---\n")
    assert separator, f"{path.name} has no line `---`"
    found = messages(recipe, vocabulary)
    if bless:
        path.write_text(f"{recipe}---\n{found}", encoding="utf-8")
    else:
        assert found == expected


def test_there_are_enough() -> None:
    assert len(FIXTURES) >= 40
