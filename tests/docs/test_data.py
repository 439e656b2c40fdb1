"""The examples of docs/data.md do what the page says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vggc import measures
from vggc.binding import bind
from vggc.binding.modules import import_file
from vggc.data import Loader, loaders
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.measures import Measure

documents = import_file(Path(__file__).parent / "documents.py")
DOCUMENT = documents.ROOT / "docs/data.md"
PAGE = DOCUMENT.read_text(encoding="utf-8")


def example(folder: Path) -> ModuleType:
    path = folder / "my_data.py"
    path.write_text(documents.blocks(DOCUMENT, "python")[0], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("my_data", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_loader_of_the_page(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 8, 8), np.uint8)
    np.save(tmp_path / "test_images.npy", pixels)
    np.save(tmp_path / "test_labels.npy", np.arange(600) % 10)
    digits = example(tmp_path).digits
    assert isinstance(digits, Loader) and digits.doc.startswith("Handwritten digits")
    dataset = digits.load("test", tmp_path, part="test")
    assert (len(dataset), dataset.inputs) == (600, ("image",))
    assert dataset.labels is not None and dataset.labels.tolist() == [each % 10 for each in range(600)]
    found = np.concatenate([each["image"] for each in dataset.batches(100)])
    np.testing.assert_array_equal(found, pixels[:, None].astype(np.float32) / 255)


@pytest.mark.parametrize("text", documents.blocks(DOCUMENT, "opt"), ids=lambda text: text.splitlines()[0])
def test_the_recipes_of_the_page_bind(tmp_path: Path, text: str) -> None:
    example(tmp_path)
    for name in ("val", "scans", "street"):
        (tmp_path / name).mkdir()
    (tmp_path / "examples" / "digits").mkdir(parents=True)
    (tmp_path / "examples" / "digits" / "test.npz").touch()
    for name in ("calib.npz", "test.npz", "samples.npy", "classes.npy", "classes.csv", "lines.npz", "instances.json"):
        (tmp_path / name).touch()
    pipeline = bind(parse(Source(str(tmp_path / "page.opt"), text)))
    assert pipeline.data and any(pipeline.gates())


def test_every_loader_and_measure_is_on_the_page() -> None:
    for each in vars(loaders).values():
        if isinstance(each, Loader):
            assert f"| `{each.name}(" in PAGE
    for each in vars(measures).values():
        if isinstance(each, Measure):
            assert re.search(rf"^\|.*`{each.name}[(`]", PAGE, re.MULTILINE)
