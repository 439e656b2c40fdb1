"""Make an archive for TorchServe with torch-model-archiver."""

from __future__ import annotations

from model_archiver.model_archiver import ModelArchiver
from model_archiver.model_archiver_config import ModelArchiverConfig


def archive(*, name: str, version: str, model: str, extra: list[str], handler: str, output: str) -> None:
    """Write `<name>.mar` into the folder `output`, with the ONNX file `model`, other files and the handler."""
    ModelArchiver.generate_model_archive(
        ModelArchiverConfig(
            model_name=name,
            version=version,
            serialized_file=model,
            handler=handler,
            extra_files=",".join(extra) or None,
            export_path=output,
        )
    )
