"""Pages of documentation as tests see them: their code blocks, and a reader who does all that a page says.

A reader goes through a page from top to bottom. A block of Python or of a recipe behind a paragraph that ends in
`name.opt`: or `name.py`: is saved under that name. A block `sh` is run, command by command; a block `text` behind it is
what the last command printed. A command after which the page shows an error has to end with that error.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vggc.cli.main import run

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"`([\w./-]+\.(?:opt|py))`[^`\n]*:\n\n\Z")

# Not run: they make the environment that the tests have already.
SETUP = ("pip", "make")
# What a page leaves out of an output.
LEFT_OUT = "..."

# A number with its unit is one word.
WORD = re.compile(r"-?\d[\d.,]*(?:e[-+]?\d+)?(?: (?:k|M|G|B|kB|MB|us|ms|s|dB)\b|x|%)?(?=[\s,:]|$)|\S+")
NUMBER = re.compile(r"(-?\d[\d.]*)(?: ?(\S+))?")
# Of one machine at one time: what stands in these columns of tables, and elsewhere times, rounding errors, and the
# version of a library in parentheses.
MEASURED = re.compile(
    r"(?<=  )(p50|p90|p99|samples/s|memory|error|ratio|seconds|largest relative error|sha256)(?=  |$)"
)
PASSING = re.compile(r"\d[\d.,]* (us|ms|s|dB)|0\.0\d*%|-?\d[\d.]*e[-+]?\d+|[\d.]+\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, where its text lies, and the name it is to be saved under."""

    language: str
    text: str
    start: int
    end: int
    name: str


def read(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        named = SAVED.search(text, 0, match.start())
        found.append(Block(match[1], match[2], match.start(2), match.end(2), named[1] if named else ""))
    return found


def blocks(page: Path, language: str) -> list[str]:
    """The texts of a page's blocks in one language."""
    return [each.text for each in read(page) if each.language == language]


def clone(folder: Path) -> None:
    """Put what the pages' commands name into a folder: the examples and the ready recipes."""
    for name in ("examples", "recipes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


@dataclass(frozen=True)
class Printed:
    """A text block that shows an output, and what was printed when its command was run."""

    shown: Block
    printed: str


def follow(page: Path) -> Iterator[Printed]:
    """Do what a page says in the current folder, and give what it shows beside what was printed.

    Raises AssertionError when a command ends otherwise than the page says, or is not one of vggc's.
    """
    page_blocks = read(page)
    printed = ""
    for block, behind in zip(page_blocks, [*page_blocks[1:], None], strict=True):
        if block.name:
            Path(block.name).write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            wrong = behind is not None and behind.language == "text" and behind.text.startswith("error:")
            printed = _run(block.text, wrong)
        elif block.language == "text" and printed:
            yield Printed(block, printed)
            printed = ""


def _run(script: str, wrong: bool) -> str:
    """Run a block's commands. What the last one printed: messages if it is to go `wrong`, its output if not."""
    lines = [line.partition("  #")[0] for line in script.replace("\\\n", " ").splitlines()]
    commands = [words for line in lines if (words := shlex.split(line)) and words[0] not in SETUP]
    text = ""
    for number, (command, *arguments) in enumerate(commands, 1):
        assert command == "vggc", f"a page's commands are vggc's, not {command}"
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(arguments)
        bad = wrong and number == len(commands)
        assert (status != 0) == bad, f"{command} {shlex.join(arguments)} ends with {status}:\n{err.getvalue()}"
        text = err.getvalue() if bad else out.getvalue()
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def same(shown: str, printed: str) -> bool:
    """Whether an output is what a page shows, but for what another machine or another moment would change.

    What is measured may be any number: times, memory, rounding errors. Sizes, counts and shares may differ by a
    quarter. Where the page has a line `...`, any number of lines may stand.
    """
    shown, printed = without_measured(shown), without_measured(printed)
    pieces = [WORD.findall(piece) for piece in re.split(rf"^{re.escape(LEFT_OUT)}\n", shown, flags=re.MULTILINE)]
    words, at = WORD.findall(printed), 0
    if len(pieces) == 1:
        return _alike(pieces[0], words)
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        starts = [0] if number == 0 else [len(words) - len(piece)] if last else range(at, len(words) - len(piece) + 1)
        begin = next((each for each in starts if each >= at and _alike(piece, words[each : each + len(piece)])), None)
        if begin is None:
            return False
        at = begin + len(piece)
    return True


def without_measured(text: str) -> str:
    """An output with `#` for every cell of its tables' columns that are MEASURED; numbers stand flush right there."""
    lines, ends = [], set[int]()
    for line in text.splitlines():
        headers = {header.end() for header in MEASURED.finditer(line)}
        if headers or not line:
            ends = headers
            lines.append(line)
        else:
            lines.append(WORD.sub(lambda cell, ends=ends: "#" if cell.end() in ends else cell[0], line))
    return "\n".join(lines) + "\n"


def _alike(shown: list[str], printed: list[str]) -> bool:
    return len(shown) == len(printed) and all(map(_word_alike, shown, printed))


def _word_alike(shown: str, printed: str) -> bool:
    if shown == printed or (PASSING.fullmatch(shown) and PASSING.fullmatch(printed)):
        return True
    a, b = NUMBER.fullmatch(shown), NUMBER.fullmatch(printed)
    return bool(a and b and a[2] == b[2] and abs(float(a[1]) - float(b[1])) <= 0.25 * abs(float(a[1])))
