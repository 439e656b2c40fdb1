"""The documentation as a site: it is built strictly, needs no other host, and explains messages that there are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "..."


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning an error."""
    if find_spec("properdocs") is None:
        pytest.skip("properdocs, which builds the site, is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "properdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


def test_every_page_and_recipe_is_in_the_site(site: Path) -> None:
    wanted = {each.relative_to(ROOT / "docs").with_suffix(".html") for each in (ROOT / "docs").glob("**/*.md")}
    wanted |= {each.relative_to(ROOT).with_suffix(".html") for each in (ROOT / "recipes").glob("**/*.opt")}
    assert wanted <= {each.relative_to(site) for each in site.glob("**/*.html")}


def test_links_to_the_repository_lead_to_pages(site: Path) -> None:
    page = (site / "quantization.html").read_text(encoding="utf-8")
    assert 'href="recipes/int8_cpu.html"' in page
    recipe = (site / "recipes/int8_cpu.html").read_text(encoding="utf-8")
    assert '<span class="nf">quantize</span>' in recipe, "the blocks of recipes have colours"
    assert "quantize(int8, data=calib)" in re.sub(r"<[^>]+>", "", recipe)
    assert 'href="../CONTRIBUTING.html"' not in page
    assert 'href="CONTRIBUTING.html"' in (site / "extending.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    loaded = re.compile(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(https?:)?//')
    pages = list(site.glob("**/*.html"))
    assert pages
    assert not [each.name for each in pages if loaded.search(each.read_text(encoding="utf-8"))]


def test_lists_are_lists(site: Path) -> None:
    """A list right behind a paragraph's last line is one where the repository is read, and none in the site."""
    run_on = re.compile(r"<p>[^<]*(?:<(?!/p>)[^<]*)*\n(?:- |\d+\. )")
    wrong = [each.name for each in site.glob("**/*.html") if run_on.search(each.read_text(encoding="utf-8"))]
    assert not wrong


def messages() -> set[str]:
    """Every text in the code, without backticks, a value that is put in as `...`."""
    found = set()
    for folder in ("compiler", "passes", "grammar"):
        for path in (ROOT / folder).glob("**/*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(plain(node.value))
                elif isinstance(node, ast.JoinedStr):
                    parts = [each.value if isinstance(each, ast.Constant) else PLACEHOLDER for each in node.values]
                    found.add(plain("".join(map(str, parts))))
    return found


def plain(message: str) -> str:
    return re.sub(r"( ?\.\.\.)+", PLACEHOLDER, message.replace("`", ""))


def test_the_messages_explained_are_messages() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    explained = [plain(each) for each in re.findall(r"^### `(.+)`$", text, re.MULTILINE)]
    assert len(explained) > 20
    assert sorted(set(explained) - messages()) == []
