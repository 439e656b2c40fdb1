"""The optional packages: whether each is installed, and how to install it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from vggc.diagnostics import Code, CompileError, Diagnostic


@dataclass(frozen=True)
class Package:
    """A package: the module to import, and the name that pip installs it by."""

    module: str
    distribution: str

    @property
    def installed(self) -> bool:
        """Whether the module can be found. Nothing is imported."""
        try:
            return importlib.util.find_spec(self.module) is not None
        except (ImportError, ValueError):
            return False

    @property
    def version(self) -> str:
        """The version that is installed, "" when it is not known."""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return ""


OPENVINO = Package("openvino", "openvino")


def missing(user: str, packages: Sequence[Package]) -> Diagnostic | None:
    """Why `user`, such as "the target `openvino`", cannot work here; None when its packages are installed."""
    lacking = [each.distribution for each in packages if not each.installed]
    if not lacking:
        return None
    names = " and ".join(f"`{each}`" for each in lacking)
    what = f"the Python package {names}, which is" if len(lacking) == 1 else f"the Python packages {names}, which are"
    return Diagnostic(
        f"{user} needs {what} not installed",
        help=f"install {'it' if len(lacking) == 1 else 'them'} for this Python: pip install {' '.join(lacking)}",
        code=Code.MISSING_PACKAGE,
    )


def need(user: str, packages: Sequence[Package]) -> None:
    """Raise CompileError when a package is not installed."""
    if problem := missing(user, packages):
        raise CompileError(problem)
