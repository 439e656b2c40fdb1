"""What the functions return: the report with the files, as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vggc.diagnostics import Code, Diagnostic, fail
from vggc.pipeline.output_folder import PAGE
from vggc.report.record import Report

if TYPE_CHECKING:
    import onnx
    from rich.console import RenderableType

_WIDE = 140
"""Columns of the tables."""

_TARGET = "onnx"
"""The target that writes the compiled model."""


class Shown(ABC):
    """Something that `print` shows as the command line does, and a notebook as the same text."""

    @abstractmethod
    def _tables(self) -> RenderableType: ...

    def __str__(self) -> str:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=_WIDE, highlight=False, markup=False, force_jupyter=False, color_system=None).print(
            self._tables()
        )
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    def _repr_html_(self) -> str:
        from rich.console import Console

        console = Console(
            file=io.StringIO(), width=_WIDE, highlight=False, markup=False, record=True, force_jupyter=False
        )
        console.print(self._tables())
        return console.export_html(inline_styles=True, code_format='<pre style="line-height: 1.3">{code}</pre>')


@dataclass(frozen=True)
class Result(Shown):
    """A compile that is done.

    folder  the output folder
    report  the content of its report.json
    """

    folder: Path
    report: Report

    @property
    def artifacts(self) -> tuple[Path, ...]:
        """The files that the recipe's targets wrote, in the order of the targets."""
        return tuple(self.folder / each["path"] for each in self.report.artifacts)

    @property
    def page(self) -> Path:
        """The report for a browser."""
        return self.folder / PAGE

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The compiled model with its weights, read at the first use.

        Raises CompileError when the recipe has no `target onnx`.
        """
        import onnx

        written = next((each["path"] for each in self.report.artifacts if each["target"] == _TARGET), None)
        if written is None:
            raise fail(
                "this compile wrote no ONNX model", help="add `target onnx` to the recipe", code=Code.NOT_A_MODEL
            )
        return onnx.load(self.folder / written)

    def _tables(self) -> RenderableType:
        from rich.console import Group

        from vggc.report.terminal_tables import summary

        return Group(summary(self.report, self.folder), *_warning_lines(self.report), f"\nreport: {self.page}")

    def __repr__(self) -> str:
        return f"Result({str(self.folder)!r}: {', '.join(each.name for each in self.artifacts) or 'a report only'})"


@dataclass(frozen=True)
class Plan(Shown):
    """What each step of a recipe would do to a model; see `report.steps`."""

    report: Report

    def _tables(self) -> RenderableType:
        from rich.console import Group

        from vggc.report.terminal_tables import plan

        return Group(plan(self.report), *_warning_lines(self.report))

    def __repr__(self) -> str:
        return f"Plan({len(self.report.steps)} steps)"


@dataclass(frozen=True)
class Check:
    """A recipe without errors: its warnings, and how many steps and targets it has."""

    warnings: tuple[Diagnostic, ...]
    steps: int
    targets: int


def _warning_lines(report: Report) -> list[str]:
    return [f"warning: {each}" for each in report.warnings]
