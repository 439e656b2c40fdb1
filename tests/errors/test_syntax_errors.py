"""Each malformed recipe of syntax/ gives exactly the messages below its `---`; `--bless` rewrites those."""

from __future__ import annotations

from pathlib import Path

import pytest

from vggc.diagnostics import CompileError, Diagnostic, render
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse, parse_pattern, parse_value
from vggc.grammar.rule_errors import RULE_ROWS
from vggc.grammar.situation import Row, Situation
from vggc.grammar.syntax_errors import LAST_ROWS, STATEMENT_ROWS

FIXTURES = sorted(Path(__file__).with_name("syntax").glob("*.txt"))


def messages(recipe: str) -> str:
    """What the terminal shows of a recipe's errors."""
    with pytest.raises(CompileError) as caught:
        parse(Source("recipe.opt", recipe))
    return "\n\n".join(render(each) for each in caught.value.diagnostics) + "\n"


def read(path: Path) -> tuple[str, str]:
    """The recipe and the messages expected of it."""
    head, separator, expected = path.read_bytes().decode().rpartition("---\n")
    assert separator, f"{path.name} has no line `---`"
    return head, expected


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_messages(path: Path, bless: bool) -> None:
    recipe, expected = read(path)
    found = messages(recipe)
    if bless:
        path.write_bytes(f"{recipe}---\n{found}".encode())
    else:
        assert found == expected


def test_every_message_says_what_to_write() -> None:
    for path in FIXTURES:
        blocks = read(path)[1].split("\n\n")
        silent = [each for each in blocks if "\nhelp: " not in each and "further syntax errors" not in each]
        assert not silent, path.name


def test_every_row_of_the_table_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    spoken: set[int] = set()
    diagnose = Row.diagnose

    def listen(row: Row, situation: Situation) -> Diagnostic | None:
        found = diagnose(row, situation)
        if found is not None:
            spoken.add(id(row))
        return found

    monkeypatch.setattr(Row, "diagnose", listen)
    for path in FIXTURES:
        messages(read(path)[0])
    with pytest.raises(CompileError):
        parse_value(Source("--set", ""))
    with pytest.raises(CompileError):
        parse_pattern(Source("pass.py", ""))
    silent = [row for row in (*STATEMENT_ROWS, *RULE_ROWS, *LAST_ROWS) if id(row) not in spoken]
    assert not silent
