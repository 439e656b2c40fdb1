"""Hook of the site's builder: the style sheet that colours code blocks, for the light and the dark mode."""

from __future__ import annotations

from typing import Any

from properdocs.structure.files import File, Files
from pygments.formatters import HtmlFormatter

MODES = {"light": "default", "dark": "monokai"}
"""By mode of the theme: the style of Pygments."""


def on_files(files: Files, config: Any) -> Files:
    """Add highlight.css, which `extra_css` names."""
    rules = [
        HtmlFormatter(style=style).get_style_defs(f"[data-bs-theme={mode}] .highlight") for mode, style in MODES.items()
    ]
    files.append(File.generated(config, "highlight.css", content="\n".join(rules)))
    return files
