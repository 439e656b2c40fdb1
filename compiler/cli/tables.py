"""The common look of tables on the command line."""

from __future__ import annotations

from rich.table import Table


def plain_table(*columns: str, right: int = 99, left: int = 99) -> Table:
    """A table without lines. The columns from index `right` up to `left` contain numbers and are aligned right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_header=any(columns))
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if right <= index < left else "left", overflow="fold")
    return table
