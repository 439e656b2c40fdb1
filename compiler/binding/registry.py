"""The passes, loaders, measures and targets that come with vggc, imported when they are first used."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from vggc.data import Loader
from vggc.measures import Measure
from vggc.rewrite import Pass
from vggc.targets.contract import Target

T = TypeVar("T")


@dataclass(frozen=True)
class Registry:
    """Everything that a recipe can name without a `use`, by kind and name."""

    passes: Mapping[str, Pass]
    loaders: Mapping[str, Loader]
    measures: Mapping[str, Measure]
    targets: Mapping[str, Target]


class PassFolder(Mapping[str, Pass]):
    """The passes of a package: one in each module, of the same name. Modules whose names start with `_` hold none.

    The names are those of the files, so that a misspelt name is recognized without importing all passes.
    """

    def __init__(self, package: str) -> None:
        self._package = package

    @cached_property
    def _names(self) -> list[str]:
        folder = importlib.import_module(self._package).__path__
        return sorted(each.name for each in pkgutil.iter_modules(folder) if not each.name.startswith("_"))

    def __getitem__(self, name: str) -> Pass:
        if name not in self._names:
            raise KeyError(name)
        pass_ = getattr(importlib.import_module(f"{self._package}.{name}"), name, None)
        if not isinstance(pass_, Pass):
            raise TypeError(f"the module {self._package}.{name} does not define the pass it is named after")
        return pass_

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Later(Mapping[str, T]):
    """A mapping that is made when it is first used."""

    def __init__(self, make: Callable[[], Mapping[str, T]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Mapping[str, T]:
        return self._make()

    def __getitem__(self, name: str) -> T:
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def shipped() -> Registry:
    """What comes with vggc."""
    return Registry(PassFolder("vggc.passes"), Later(_loaders), Later(_measures), Later(_targets))


def _loaders() -> dict[str, Loader]:
    from vggc.data import loaders

    return {each.name: each for each in vars(loaders).values() if isinstance(each, Loader)}


def _measures() -> dict[str, Measure]:
    from vggc.measures import class_balance, detection, image_quality, outputs, resources, segmentation, transcription

    modules = (outputs, class_balance, segmentation, detection, image_quality, transcription, resources)
    return {each.name: each for module in modules for each in vars(module).values() if isinstance(each, Measure)}


def _targets() -> dict[str, Target]:
    from vggc.targets import (
        ep_context,
        litert,
        onnx,
        onnxruntime,
        openvino,
        saved_model,
        tensorrt,
        tf_serving,
        torchserve,
        triton,
        tvm,
    )

    serving = (ep_context, triton, tf_serving, torchserve)
    modules = (onnx, onnxruntime, tensorrt, *serving, openvino, tvm, litert, saved_model)
    return {each.name: each for module in modules for each in vars(module).values() if isinstance(each, Target)}
