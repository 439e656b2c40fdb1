"""docs/instruments.md and docs/report.md: the commands run as they are written, and give what is shown."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from vggc.binding.modules import import_file
from vggc.cli.main import run
from vggc.report.record import Report

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/instruments.md").read_text(encoding="utf-8")
REPORT = (ROOT / "docs/report.md").read_text(encoding="utf-8")
documents = import_file(Path(__file__).parent / "documents.py")
BLOCKS = [(each.language, each.text) for each in documents.read(ROOT / "docs/instruments.md")]
NUMBER = re.compile(r"-?\d[\d.]*(e[-+]\d+)?")


def words(text: str) -> list[str]:
    """Words without the numbers that a processor or a release of onnxruntime decides."""
    return [NUMBER.sub("#", word) for word in text.split()]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the page's commands print, in order, in a folder that has what a clone has."""
    folder = tmp_path_factory.mktemp("clone")
    documents.clone(folder)
    found = []
    with contextlib.chdir(folder):
        for language, block in BLOCKS:
            if language == "python":
                exec(compile(block, "docs/instruments.md", "exec"), {})
            for line in block.splitlines() if language == "sh" else ():
                command, *arguments = shlex.split(line)
                assert command == "vggc"
                # Short bursts: what is shown is measured for longer, but in the same way.
                arguments = [
                    "0.02" if before == "--seconds" else each
                    for before, each in zip(["", *arguments], arguments, strict=False)
                ]
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    assert run(arguments) == 0
                found.append(out.getvalue())
        assert {row["batch"] for row in json.loads(Path("bench.json").read_text())["rows"]} == {1, 32}
    return found


def test_what_is_shown_is_what_is_printed(printed: list[str]) -> None:
    shown = [text for language, text in BLOCKS if language == "text"]
    sizes, numbers, verdict, table = shown
    _, folded, wrong, bench = printed
    assert words(folded)[: len(words(sizes))] == words(sizes)
    assert words(folded)[-len(words(numbers)) :] == words(numbers)
    assert words(wrong)[-len(words(verdict)) :] == words(verdict)
    names = [line.split()[0] for line in table.splitlines()]
    assert [line.split()[0] for line in bench.splitlines()[: len(names)]] == names
    assert bench.splitlines()[0].split() == table.splitlines()[0].split()


def test_every_option_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    diff, bench = PAGE.split("\n## ")[1:]
    for command, text in (("diff", diff), ("bench", bench)):
        run([command, "--help"])
        options = set(re.findall(r"^  (--[a-z]+)", capsys.readouterr().out, re.MULTILINE)) - {"--help"}
        assert options == set(re.findall(r"^\| `(--[a-z]+)", text, re.MULTILINE))


def test_every_key_of_the_report_is_explained() -> None:
    table = REPORT.split("## report.json")[1]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == {each.name for each in fields(Report)}


def test_every_section_of_the_page_is_explained() -> None:
    page = (ROOT / "compiler/report/page.py").read_text(encoding="utf-8")
    named = re.findall(r'^ {8}"(\w+)": ', page.partition("links = {")[2].partition("}")[0], re.MULTILINE)
    assert [each.capitalize() for each in named] == re.findall(r"^\| ([A-Z]\w+) \|", REPORT, re.MULTILINE)
