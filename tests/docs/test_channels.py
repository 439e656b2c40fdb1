"""The page about channels prints what it shows, and names the files there are."""

from __future__ import annotations

import contextlib
import io
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from vggc.binding.modules import import_file

ROOT = Path(__file__).parents[2]
documents = import_file(Path(__file__).parent / "documents.py")
PAGE = ROOT / "docs" / "channels.md"


def test_its_programs_print_what_it_shows() -> None:
    names: dict[str, Any] = {}
    shown = []
    for block, behind in pairwise(documents.read(PAGE)):
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(block.text, PAGE.name, "exec"), names)
            assert printed.getvalue() == behind.text
            shown.append(behind.text)
    assert len(shown) == 6


def test_it_names_the_files_there_are() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## Where the code is")[2]
    named = set(re.findall(r"`(\w+\.py)`", table))
    assert "sweep.py" in named
    assert named <= {path.name for path in (ROOT / "compiler/analysis/channels").glob("*.py")}
