"""What pyproject.toml cannot say about the package: its description on a package index, the README without its links.

The README's links and picture are relative, so that they work in any clone. An index has no files for them to lead to:
of a link its text is left there, and of the picture nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup

ENDING = "The documentation that this text names is in the source distribution, in the folder `docs`.\n"


def index_description() -> str:
    """The README as a package index shows it."""
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"^!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n", "", text, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text) + "\n" + ENDING


if __name__ == "__main__":
    setup(long_description=index_description(), long_description_content_type="text/markdown")
