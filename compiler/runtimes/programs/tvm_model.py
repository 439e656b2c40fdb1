"""Compile a model with Apache TVM to a shared library, and run that on the CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx


def convert(model: str, output: str) -> None:
    """Compile the ONNX file `model` to the shared library `output` for this machine, with LLVM."""
    module = from_onnx(onnx.load(model), keep_params_in_input=False)
    tvm.compile(module, target="llvm").export_library(output)


class Model:
    """A shared library. `threads`: None for one for each core."""

    def __init__(self, path: str, described: Mapping[str, Any], threads: int | None) -> None:
        if threads:
            os.environ["TVM_NUM_THREADS"] = str(threads)
        self._machine = relax.VirtualMachine(tvm.runtime.load_module(path), tvm.cpu())
        self._inputs = [each["name"] for each in described["inputs"]]
        self._outputs = [each["name"] for each in described["outputs"]]

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name."""
        results = self._machine["main"](*(tvm.runtime.tensor(feeds[name]) for name in self._inputs))
        listed = [results] if hasattr(results, "numpy") else list(results)
        return {name: each.numpy() for name, each in zip(self._outputs, listed, strict=True)}
