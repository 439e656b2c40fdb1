"""Samples as small pictures, as a model gets them, on one HTML page that needs no network."""

from __future__ import annotations

import html
from collections.abc import Sequence

from vggc.data.pictures import Picture

_STYLE = """
body { font-family: system-ui, sans-serif; margin: 1.5rem; color: #1b1f24; background: #fff; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .3rem; }
ul { display: flex; flex-wrap: wrap; gap: .8rem; list-style: none; padding: 0; }
li { width: 170px; font-size: .75rem; overflow-wrap: anywhere; }
img { display: block; image-rendering: pixelated; max-width: 160px; }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #16181b; } }
"""


def contact_sheet(title: str, parts: Sequence[tuple[str, str, Sequence[Picture]]]) -> str:
    """The HTML page of data sets: name, description and pictures of each."""
    sections = []
    for name, description, pictures in parts:
        items = "".join(
            f'<li><img alt="{html.escape(each.caption)}" src="{each.address}">{html.escape(each.caption)}</li>'
            for each in pictures
        )
        sections.append(f"<h2>{html.escape(name)}</h2><p>{html.escape(description)}</p><ul>{items}</ul>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>{''.join(sections)}</body></html>\n"
    )
