"""Which Python has the packages of a converter or runtime: the one that runs vggc, or another environment."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.diagnostics.packages import Optional


def variable(packages: Optional) -> str:
    """The environment variable that names the Python of another environment with these packages."""
    return f"VGGC_PYTHON_{packages.extra.upper()}"


def python_of(packages: Optional) -> str | None:
    """The Python that has these packages, None when there is none.

    A Python that the environment variable names is used even when the packages are here too. Nothing is imported.
    Raises CompileError when the variable does not name a program.
    """
    name = variable(packages)
    if given := os.environ.get(name):
        if not os.access(given, os.X_OK) or Path(given).is_dir():
            raise fail(f"{name} is `{given}`, which is not a program", help=_separate(packages), code=Code.VARIABLE)
        return given
    return sys.executable if all(map(_found, packages.modules)) else None


def installed_version(packages: Optional, distribution: str) -> str:
    """The version of a distribution in the Python that has the packages, "" when it is not known."""
    from vggc.runtimes.process import call

    if os.environ.get(variable(packages)):
        return str(call(packages, "versions:version_of", {"distribution": distribution}, "looked for a version"))
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def missing(user: str, packages: Optional) -> Diagnostic | None:
    """Why `user`, such as "the target `openvino`", cannot work here; None when a Python has its packages."""
    try:
        if python_of(packages) is not None:
            return None
    except CompileError as error:
        return error.diagnostics[0]
    lacking = [name for name, module in zip(packages.packages, packages.modules, strict=True) if not _found(module)]
    names = " and ".join(f"`{each}`" for each in lacking)
    what = f"the Python package {names}, which is" if len(lacking) == 1 else f"the Python packages {names}, which are"
    if packages.separate:
        help = _separate(packages)
    else:
        help = f"install {'it' if len(lacking) == 1 else 'them'} for this Python: pip install {' '.join(lacking)}"
    return Diagnostic(f"{user} needs {what} not installed", help=help, code=Code.MISSING_PACKAGE)


def need(user: str, packages: Optional) -> None:
    """Raise CompileError when no Python has the packages."""
    if problem := missing(user, packages):
        raise CompileError(problem)


def _separate(packages: Optional) -> str:
    folder = f"{packages.extra}-env"
    program = f"{folder}\\Scripts\\python.exe" if sys.platform == "win32" else f"{folder}/bin/python"
    return (
        f"install it into a separate environment: python -m venv {folder}; {program} -m pip install "
        f"{' '.join(packages.packages)}; then set {variable(packages)}={program}"
    )


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
