"""`vggc explain-error`, and the page that it makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vggc.diagnostics.codes import Code

PAGE = Path(__file__).parents[2] / "docs/errors.md"


def test_the_page_is_what_the_registry_says(vggc: Any, bless: bool) -> None:
    text = vggc("explain-error", "--markdown").out
    if bless:
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text
    assert len(re.findall(r"^### VGGC", text, re.MULTILINE)) == len(Code)


def test_explain_error(vggc: Any) -> None:
    assert vggc("explain-error", "vggc131").out.startswith("VGGC131: There is no option with this name\n\n")
    assert "VGGC505  A requirement is not met\n" in vggc("explain-error").out
    wrong = vggc("explain-error", "VGGC9999")
    assert wrong.status == 2 and "`VGGC9999` is not a code" in wrong.err
