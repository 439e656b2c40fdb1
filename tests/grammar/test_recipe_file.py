"""Reading a recipe file: what is forgiven, and the message for what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vggc.diagnostics import CompileError
from vggc.grammar.parser import parse
from vggc.grammar.recipe_file import MAX_BYTES, read_recipe


def refusal(path: Path) -> tuple[str, str]:
    """Message and help for a file that cannot be read."""
    with pytest.raises(CompileError) as caught:
        read_recipe(path)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.message, diagnostic.help


def test_text_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.opt"
    path.write_text("# Größe\nsimplify\n", encoding="utf-8")
    source = read_recipe(path)
    assert (source.path, source.text) == (str(path), "# Größe\nsimplify\n")


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfsimplify\r\ntarget onnx\r\n", b"simplify\rtarget onnx\r"])
def test_marks_and_line_ends_are_forgiven(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.opt"
    path.write_bytes(content)
    recipe = parse(read_recipe(path))
    assert [each.span.place for each in recipe.statements] == [f"{path}:1:1", f"{path}:2:1"]


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "vgg16_int8.opt").write_text("simplify\n")
    path = tmp_path / "vgg16_in8.opt"
    assert refusal(path) == (f"there is no recipe `{path}`", f"a similar file exists: `{tmp_path / 'vgg16_int8.opt'}`")
    assert refusal(tmp_path / "zzz") == (f"there is no recipe `{tmp_path / 'zzz'}`", "")


def test_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "recipes" / "a.opt"
    assert refusal(path) == (f"there is no recipe `{path}`", f"there is no folder `{tmp_path / 'recipes'}`")


def test_file_as_folder(tmp_path: Path) -> None:
    (tmp_path / "a.opt").write_text("simplify\n")
    message, _ = refusal(tmp_path / "a.opt" / "b.opt")
    assert "b.opt` cannot be read: Not a directory" in message


def test_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (f"`{tmp_path}` is a folder", "give the path of a recipe, `NAME.opt`")
    (tmp_path / "b.opt").write_text("simplify\n")
    assert refusal(tmp_path)[1] == f"give one of its recipes, such as `{tmp_path / 'b.opt'}`"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_that_nobody_writes_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe.opt"
    os.mkfifo(path)
    assert refusal(path)[0] == f"`{path}` is not a regular file"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A test that runs as root may read everything, so the refusal is the system's in name only.
    path = tmp_path / "a.opt"
    path.write_text("simplify\n")

    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(path) == (f"`{path}` cannot be read: permission denied", "give yourself permission to read it")


def test_name_no_system_allows(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "a\0b.opt")[0]
    assert "cannot be read" in refusal(tmp_path / ("a" * 5000))[0]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"simplify\nfold \xe9\n", "byte 0xE9 at offset 14, line 2"),
        (b"\xef\xbb\xbfsimplify\n\xff", "byte 0xFF at offset 12, line 2"),
        (b"\x80", "byte 0x80 at offset 0, line 1"),
        ("simplify # ä".encode()[:-1], "byte 0xC3 at offset 11, line 1"),
    ],
)
def test_not_utf8(tmp_path: Path, content: bytes, place: str) -> None:
    path = tmp_path / "a.opt"
    path.write_bytes(content)
    assert refusal(path) == (f"`{path}` is not UTF-8 text: {place}", "save it as UTF-8")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.opt"
    path.write_bytes("simplify\n".encode(encoding))
    message, _ = refusal(path)
    assert message in (
        f"`{path}` is not UTF-8 text but UTF-16",
        f"`{path}` is not a text file: NUL character in line 1, column 1",
        f"`{path}` is not a text file: NUL character in line 1, column 2",
    )


def test_nul(tmp_path: Path) -> None:
    path = tmp_path / "a.opt"
    path.write_bytes(b"simplify\nfold\0\n")
    assert refusal(path)[0] == f"`{path}` is not a text file: NUL character in line 2, column 5"


def test_size(tmp_path: Path) -> None:
    path = tmp_path / "a.opt"
    path.write_bytes(b"#" * MAX_BYTES)
    assert len(read_recipe(path).text) == MAX_BYTES
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert refusal(path) == (f"`{path}` is larger than 1 MiB", "a recipe is a short text: is this the model?")
