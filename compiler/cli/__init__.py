"""The command line: the only place that prints, and the only one that exits."""

from vggc.cli.main import main

__all__ = ["main"]
