"""Every message has a code, and every code an explanation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from vggc.diagnostics import CompileError, Diagnostic, Diagnostics, fail, render
from vggc.diagnostics.codes import Code, code_of, explanations

ROOT = Path(__file__).parents[2]
RAISING = {"fail", "Diagnostic"}
"""Names of the functions that make messages, beside `error` and `warning` of a collection of messages."""


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in vggc that makes a message, with its file."""
    for room in ("compiler", "grammar", "passes"):
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _makes_a_message(node):
                    yield file.relative_to(ROOT).as_posix(), node


def _makes_a_message(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in RAISING
    first = call.args[0] if call.args else None
    text = isinstance(first, ast.JoinedStr | ast.Constant) or (isinstance(first, ast.Name) and first.id == "message")
    return isinstance(call.func, ast.Attribute) and call.func.attr in ("error", "warning") and text


def test_every_message_has_a_code() -> None:
    made = list(calls())
    assert len(made) > 400
    without = [f"{file}:{call.lineno}" for file, call in made if not any(each.arg == "code" for each in call.keywords)]
    assert not [each for each in without if not each.startswith("compiler/diagnostics/")]


def test_numbers_are_given_once() -> None:
    numbers = [each.number for each in Code]
    assert len(set(numbers)) == len(numbers) and numbers == sorted(numbers)


def test_every_code_is_explained() -> None:
    assert list(explanations()) == list(Code)
    assert all(len(text) > 25 for text in explanations().values())


def test_a_code_is_found_however_it_is_written() -> None:
    assert code_of("VGGC121") is code_of("vggc121") is code_of("121") is Code.UNKNOWN_PASS
    assert code_of("VGGC999") is code_of("E121") is code_of("") is None


def test_the_code_is_behind_the_message() -> None:
    (message,) = fail("no", code=Code.EMPTY_RECIPE, help="do").diagnostics
    assert render(message, code=True) == "error: no [VGGC111]\nhelp: do"
    assert render(message) == "error: no\nhelp: do"
    assert render(Diagnostic("yours"), code=True) == "error: yours"
    found = Diagnostics()
    found.warning("look", code=Code.UNUSED_NAME)
    assert render(found.messages[0], code=True) == "warning: look [VGGC126]"


def test_an_error_keeps_its_code_when_it_gets_a_place() -> None:
    error = CompileError(Diagnostic("no", code=Code.UNIT))
    assert error.diagnostics[0].code is Code.UNIT


def test_every_code_is_expected_by_a_test() -> None:
    """A test names a code as `VGGC121` in a message, or as `Code.UNKNOWN_PASS`."""
    files = [each for each in (ROOT / "tests").rglob("*") if each.suffix in (".py", ".txt")]
    texts = [each.read_text(encoding="utf-8") for each in files if each != Path(__file__)]
    named = {name for text in texts for name in re.findall(r"\bVGGC\d{3}\b|\bCode\.[A-Z_]+\b", text)}
    assert [each for each in Code if each.id not in named and f"Code.{each.name}" not in named] == []
