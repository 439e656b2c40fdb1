"""The pages that lead a reader by the hand, followed word for word in a folder that has what a clone has."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from vggc.binding.modules import import_file

ROOT = Path(__file__).parents[2]
documents = import_file(Path(__file__).parent / "documents.py")

needs_tensorrt_rtx = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has wheels for Linux and Windows on x86-64 only"
)
PAGES = [
    pytest.param("tutorial", marks=needs_tensorrt_rtx),
    pytest.param("cookbook"),
    pytest.param("data"),
    pytest.param("extending"),
    pytest.param("troubleshooting"),
]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Open a page in a fresh clone's folder. Modules that the page's own Python files bring in are forgotten after."""
    documents.clone(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return lambda name: ROOT / "docs" / f"{name}.md"


@pytest.mark.parametrize("name", PAGES)
def test_it_goes_as_the_page_says(name: str, reader: Callable[[str], Path], bless: bool) -> None:
    page = reader(name)
    outputs = list(documents.follow(page))
    assert outputs
    wrong = [each for each in outputs if not documents.same(each.shown.text, each.printed)]
    if bless:
        text = page.read_text(encoding="utf-8")
        for each in reversed([each for each in wrong if "\n...\n" not in f"\n{each.shown.text}"]):
            text = text[: each.shown.start] + each.printed + text[each.shown.end :]
        page.write_text(text, encoding="utf-8")
    assert bless or not wrong, "\n".join(f"shown:\n{each.shown.text}\nprinted:\n{each.printed}" for each in wrong)


@pytest.mark.parametrize(
    ("shown", "printed", "alike"),
    [
        ("a 12 k", "a 12.1 k", True),
        ("a 12 k", "a 16 k", False),
        ("a 12 k", "a 12 M", False),
        ("a 1.2e-07 b", "a 5e-08 b", True),
        ("a\n...\nc d\n", "a\nb\nb\nc d\n", True),
        ("a\n...\nc d\n", "a\nb\nb\nd c\n", False),
        ("held\n", "not held\n", False),
        ("on  samples/s  ratio\na    1.63e+05  1.00x\n", "on  samples/s  ratio\na        3176   100x\n", True),
        ("on  samples/s  ratio\na    1.63e+05  1.00x\n", "on  samples/s  ratio\na                100x\n", False),
        ("on   memory\na   15.7 MB\n", "on  memory\na   918 kB\n", True),
        ("nodes  seconds\n   12     0.61\n", "nodes  seconds\n   19   123.61\n", False),
        ("a 3.96x", "a 1.20x", False),
    ],
)
def test_outputs_are_compared_but_for_what_a_machine_changes(shown: str, printed: str, alike: bool) -> None:
    assert documents.same(shown, printed) is alike
