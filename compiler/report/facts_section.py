"""The section of the page that says what a compile depended on: command, date, machine, versions, data."""

from __future__ import annotations

from vggc.report.pictures import DataSheet, PagePictures
from vggc.report.record import Report
from vggc.report.sections import section, text


def facts_section(report: Report, pictures: PagePictures) -> str:
    """The facts of the compile, and some samples of each data set that has images."""
    listed = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>\n" for name, value in report.facts.items())
    missing = "".join(f"<li>{text(each)}</li>" for each in report.not_measured)
    return section(
        "facts",
        "Facts",
        f'<dl class="facts">\n{listed}</dl>',
        f"<p>Not measured for this report:</p>\n<ul>{missing}</ul>" if missing else "",
        *map(_sheet, pictures.sheets),
    )


def _sheet(sheet: DataSheet) -> str:
    items = "".join(f'<li><img alt="" src="{each.address}">{text(each.caption)}</li>' for each in sheet.pictures)
    return f'<p><strong>{text(sheet.name)}</strong>: {text(sheet.description)}</p>\n<ul class="samples">{items}</ul>'
