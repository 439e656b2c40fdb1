"""The notebook `examples/digits/from_python.ipynb` runs from top to bottom, and its cells show what they should."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbclient and ipykernel: pip install nbclient ipykernel")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel: pip install nbclient ipykernel")
pytest.importorskip("ipykernel", reason="needs nbclient and ipykernel: pip install nbclient ipykernel")

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "digits" / "from_python.ipynb"


def shown(cell: Any) -> str:
    """What a cell printed and showed, as text."""
    texts = [each.get("text", "") or each.get("data", {}).get("text/plain", "") for each in cell.outputs]
    return "\n".join(texts)


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("digits_vgg.onnx", "test.npz"):
        (tmp_path / "examples" / "digits").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "examples" / "digits" / name, tmp_path / "examples" / "digits")
    # Neither the settings of IPython nor those of Jupyter of whoever runs the tests.
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "the notebook is kept without outputs"
    nbformat.validate(notebook)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    pages = [each["data"]["text/html"] for cell in code for each in cell.outputs if "text/html" in each.get("data", {})]
    assert len(pages) == 2 and "quantize" in pages[0] and "agreement" in pages[0]
    texts = [shown(cell) for cell in code]
    assert "['simplify', 'fold_batch_norm', 'quantize']" in texts[2] and "'held'" in texts[2]
    assert float(texts[3]) > 0.97
    assert "help: a similar name exists: `fold_batch_norm`" in texts[5]
    assert texts[6] == "{'fold BatchNormalization into Conv': 6}"
    # Nothing but what a cell prints itself: no progress, no warnings.
    assert [each.name for cell in code for each in cell.outputs if each.output_type == "stream"] == ["stdout", "stdout"]
