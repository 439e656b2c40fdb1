"""Wrong recipes, and exactly what the terminal shows of each; `--bless` rewrites what is expected.

A case is as tests/cases.py says: its recipe, `---`, the messages. Between them may stand files that the recipe names,
each behind a line `--- NAME`: `--- NAME/` is an empty folder, `--- NAME in ENCODING` a file in that encoding. Beside
every recipe lie an empty `test.npz` and an empty folder `photos`. The folder of a case says what its recipe goes
through:

- syntax/: it is parsed;
- binding/: it is parsed and bound, with a line `# --set NAME=VALUE` as an override;
- models/: see test_models.py;
- rules/: it is bound, and its rules are checked as `vggc check` does without a model, or, with a line `# opset 13`,
  for a model of that opset.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vggc.binding import bind, bind_file
from vggc.binding.modules import import_file
from vggc.binding.registry import Registry
from vggc.diagnostics import CompileError, Diagnostic, render
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse, parse_pattern, parse_value
from vggc.grammar.rule_errors import RULE_ROWS
from vggc.grammar.situation import Row, Situation
from vggc.grammar.syntax_errors import LAST_ROWS, STATEMENT_ROWS
from vggc.graph import Graph
from vggc.rewrite import check_rules

HERE = Path(__file__).parent
cases = import_file(HERE.parent / "cases.py")
FILE = re.compile(r"^--- (.+)\n", re.MULTILINE)


@dataclass(frozen=True)
class ErrorCase(cases.Case):
    """A wrong recipe, and the files beside it."""

    files: dict[str, str]

    def write_files(self, folder: Path) -> None:
        for name, text in {"recipe.opt": self.before, "test.npz": "", "photos/": "", **self.files}.items():
            path, _, encoding = name.partition(" in ")
            if path.endswith("/"):
                (folder / path).mkdir()
            else:
                (folder / path).write_text(text, encoding=encoding or "utf-8", newline="\n")


def error_case(file: Path, title: str, before: str, expected: str) -> ErrorCase:
    recipe, *files = FILE.split(f"{before}\n"[1:])
    return ErrorCase(file, title, recipe, expected, dict(zip(files[::2], files[1::2], strict=True)))


FOLDERS = ("binding", "rules", "syntax")
CASES = [
    case
    for folder in FOLDERS
    for file in sorted((HERE / folder).glob("*.txt"))
    for case in cases.read_cases(file, error_case)
]
SYNTAX_CASES = [case for case in CASES if case.file.parent.name == "syntax"]


def parse_recipe(recipe: str, vocabulary: Registry) -> list[Diagnostic]:
    parse(Source("recipe.opt", recipe))
    return []


def bind_recipe(recipe: str, vocabulary: Registry) -> list[Diagnostic]:
    overrides = dict(setting.split("=", 1) for setting in re.findall(r"^# --set (.*)$", recipe, re.MULTILINE))
    return list(bind_file(Path("recipe.opt"), overrides=overrides, registry=vocabulary).warnings)


def bind_and_check_rules(recipe: str, vocabulary: Registry) -> list[Diagnostic]:
    opset = re.search(r"^# opset (\d+)$", recipe, re.MULTILINE)
    model = Graph(nodes=[], opset=int(opset[1])) if opset else None
    pipeline = bind(parse(Source("recipe.opt", recipe)), registry=vocabulary)
    return [*pipeline.warnings, *check_rules(pipeline.all_rules(), model)]


READ: dict[str, Callable[[str, Registry], list[Diagnostic]]] = {
    "syntax": parse_recipe,
    "binding": bind_recipe,
    "rules": bind_and_check_rules,
}
"""By folder: reads a recipe, and returns the warnings about a right one."""


def messages(case: ErrorCase, vocabulary: Registry) -> str:
    """What the terminal shows of a recipe's errors, or of the warnings about a right one."""
    try:
        diagnostics = READ[case.file.parent.name](case.before, vocabulary)
    except CompileError as error:
        diagnostics = list(error.diagnostics)
    assert diagnostics, "the recipe is right"
    return "\n\n".join(render(diagnostic, code=True) for diagnostic in diagnostics)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.parent.name}/{case.file.stem}: {case.title}")
def test_messages(
    case: ErrorCase, vocabulary: Registry, bless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = messages(case, vocabulary)
    if bless and shown != case.expected:
        cases.write_expected(case, shown)
    else:
        assert shown == case.expected


def test_every_syntax_error_says_what_to_write() -> None:
    for case in SYNTAX_CASES:
        blocks = case.expected.split("\n\n")
        silent = [block for block in blocks if "\nhelp: " not in block and "more syntax errors" not in block]
        assert not silent, case.title


def test_every_row_of_the_syntax_tables_speaks(vocabulary: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken: set[int] = set()
    diagnose = Row.diagnose

    def listen(row: Row, situation: Situation) -> Diagnostic | None:
        diagnostic = diagnose(row, situation)
        if diagnostic is not None:
            spoken.add(id(row))
        return diagnostic

    monkeypatch.setattr(Row, "diagnose", listen)
    for case in SYNTAX_CASES:
        messages(case, vocabulary)
    with pytest.raises(CompileError):
        parse_value(Source("--set", ""))
    with pytest.raises(CompileError):
        parse_pattern(Source("pass.py", ""))
    silent = [row for row in (*STATEMENT_ROWS, *RULE_ROWS, *LAST_ROWS) if id(row) not in spoken]
    assert not silent


def test_using_a_python_file_leaves_nothing_beside_it(
    vocabulary: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (case,) = [case for case in CASES if case.title == "use python pass with wrong option"]
    case.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    bind(parse(Source("recipe.opt", 'use "passes.py"\nmy_pass\n')), registry=vocabulary)
    assert sorted(tmp_path.rglob("*")) == before
