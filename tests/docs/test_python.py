"""The examples of docs/python.md, run one after another as a reader runs them."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest

from vggc.binding.modules import import_file

documents = import_file(Path(__file__).parent / "documents.py")
PAGE = documents.ROOT / "docs" / "python.md"


def test_the_examples_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bless: bool) -> None:
    documents.clone(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    printed = ""
    wrong: list[tuple[Any, str]] = []
    outputs = 0
    for block in documents.read(PAGE):
        if block.language == "python":
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                exec(compile(block.text, f"{PAGE.name}, {block.text.splitlines()[0]}", "exec"), names)
            assert not err.getvalue()
            printed = out.getvalue()
        elif block.language == "text":
            outputs += 1
            if not documents.same(block.text, printed):
                wrong.append((block, printed))
    assert outputs
    if bless:
        text = PAGE.read_text(encoding="utf-8")
        for block, shown in reversed(wrong):
            text = text[: block.start] + shown + text[block.end :]
        PAGE.write_text(text, encoding="utf-8")
    assert bless or not wrong, "\n".join(f"shown:\n{block.text}\nprinted:\n{shown}" for block, shown in wrong)
