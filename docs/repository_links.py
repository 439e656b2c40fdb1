"""Hook of the site's builder: links from the pages to files of the repository lead to pages of the site.

The pages link to recipes and other files as they lie in the repository (`../recipes/fold.opt`), so that the links work
where the repository is read. In the site those files are pages too: Markdown as it is, a recipe as its text, a folder
of recipes as a list of them. Links from one to another are rewritten to where the pages are. Source files are no pages:
of a link to one its text is left.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from properdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
EXAMPLES = (each.relative_to(ROOT).as_posix() for each in sorted(ROOT.glob("examples/*/README.md")))
TEXTS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", *EXAMPLES)
FOLDERS = ("recipes", "recipes/rules")
LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s#]+)(#[^)\s]*)?\)")
SOURCES = (".py", ".lark", ".toml", ".txt", ".yaml")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that stand for files outside docs/."""
    for name in TEXTS:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for folder in FOLDERS:
        recipes = sorted((ROOT / folder).glob("*.opt"))
        lines = [f"- [{each.name}]({each.name}): {_purpose(each)}" for each in recipes]
        content = "\n".join([f"# {folder}", "", *lines, ""])
        files.append(File.generated(config, f"{folder}/index.md", content=content))
        for each in recipes:
            text = f"# {each.name}\n\n```opt\n{each.read_text(encoding='utf-8')}```\n"
            files.append(File.generated(config, f"{folder}/{each.stem}.md", content=text))
    return files


def _purpose(recipe: Path) -> str:
    return recipe.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite the page's links from places in the repository to places in the site."""
    here = page.file.src_uri
    outside = here in TEXTS or here.startswith(tuple(f"{each}/" for each in FOLDERS))
    place = PurePosixPath(here if outside else f"docs/{here}").parent

    def moved(match: re.Match[str]) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        if "://" in link:
            return match[0]
        path = posixpath.normpath(place / link)
        if path.endswith(SOURCES) or ((ROOT / path).is_dir() and path not in FOLDERS):
            return text[1:-1]
        target = posixpath.relpath(_site_path(path), posixpath.dirname(here) or ".")
        return f"{text}({target}{anchor})"

    return LINK.sub(moved, markdown)


def _site_path(path: str) -> str:
    """Where the site has a file or folder of the repository; what it does not have is left to the strict build."""
    if path in FOLDERS:
        return f"{path}/index.md"
    if path.endswith(".opt"):
        return path.removesuffix(".opt") + ".md"
    return path.removeprefix("docs/")
