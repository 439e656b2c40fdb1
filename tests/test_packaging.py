"""What is installed is what stands in the folders, and no file is too large for a clone."""

from __future__ import annotations

import os
import runpy
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest

import vggc

ROOT = Path(__file__).parents[1]
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS: dict[str, Any] = SETTINGS["tool"]["setuptools"]
PACKAGE_FOLDERS = {ROOT / folder: package for package, folder in SETUPTOOLS["package-dir"].items()}

MODEL_BYTES = 2_000_000
OTHER_BYTES = 200_000
LIBRARY_BYTES = 300_000
MADE = {"__pycache__", "build", "node_modules", "venv"}


def files(folder: Path) -> Iterator[Path]:
    """Every file below, without what tools make (hidden folders, caches, environments, *.egg-info)."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [
            each for each in folders if each not in MADE and not each.startswith(".") and not each.endswith(".egg-info")
        ]
        yield from (Path(parent, name) for name in names)


def package_of(folder: Path) -> str:
    """The package that a folder below one of the package folders is installed as."""
    for top, package in PACKAGE_FOLDERS.items():
        if folder.is_relative_to(top):
            return ".".join([package, *folder.relative_to(top).parts])
    raise ValueError(f"{folder} is in no package folder")


def source_files() -> list[Path]:
    return [each for top in PACKAGE_FOLDERS for each in files(top)]


def test_every_package_folder_is_listed() -> None:
    found = {package_of(each.parent) for each in source_files() if each.name == "__init__.py"}
    assert sorted(SETUPTOOLS["packages"]) == sorted(found)


def test_every_module_is_in_a_package() -> None:
    lost = [each for each in source_files() if each.suffix == ".py" and not (each.parent / "__init__.py").exists()]
    assert not lost


def test_every_other_file_is_package_data() -> None:
    globs = SETUPTOOLS["package-data"]
    lost = [
        str(each.relative_to(ROOT))
        for each in source_files()
        if each.suffix not in {".py", ".pyc"}
        and not any(fnmatch(each.name, glob) for glob in globs.get(package_of(each.parent), []))
    ]
    assert not lost, "these files are missing from package-data in pyproject.toml"


@pytest.mark.parametrize(
    ("package", "glob"), [(p, glob) for p, gs in SETUPTOOLS["package-data"].items() for glob in gs]
)
def test_package_data_exist(package: str, glob: str) -> None:
    assert any(package_of(each.parent) == package and fnmatch(each.name, glob) for each in source_files())


def test_editors_find_every_package(tmp_path: Path) -> None:
    try:
        runpy.run_path(str(ROOT / "make.py"))["link"](tmp_path)
    except OSError as error:
        pytest.skip(f"links cannot be made here: {error}")
    folders = [tmp_path.joinpath(*package.split(".")) for package in SETUPTOOLS["packages"]]
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_the_version_stands_in_one_place() -> None:
    assert "version" in SETTINGS["project"]["dynamic"]
    assert version("vggc") == vggc.__version__


def test_command_can_be_loaded() -> None:
    (command,) = entry_points(group="console_scripts", name="vggc")
    assert command.value == SETTINGS["project"]["scripts"]["vggc"]
    assert callable(command.load())


def test_licence_is_complete() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def _most(path: Path) -> int:
    """The bytes a file may have: models are tests' and examples', minified libraries go into every HTML report."""
    if path.suffix == ".onnx":
        return MODEL_BYTES
    return LIBRARY_BYTES if path.name.endswith(".min.js") else OTHER_BYTES


def test_files_stay_small() -> None:
    big = {
        str(each.relative_to(ROOT)): each.stat().st_size for each in files(ROOT) if each.stat().st_size > _most(each)
    }
    assert not big, "a clone stays small: make large files by a script"
