"""ONNX's own backend tests, as the installed `onnx` package has them: models and their inputs, in four variants."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import DATA_DIR, load_model_tests

Inputs = dict[str, Any]

SUITES = ("node", "simple", "pytorch-converted", "pytorch-operator", "light")

_INITIALIZERS_NEED_NO_INPUT = 4
"""The first IR version in which an initializer need not be an input as well."""


@dataclass(frozen=True)
class TestModel:
    """A model as a suite has it, and the sets of inputs it comes with."""

    suite: str
    name: str
    model: onnx.ModelProto
    feeds: tuple[Inputs, ...]


@dataclass(frozen=True)
class Trial:
    """One variant of a model: the file's bytes, and inputs for it."""

    suite: str
    name: str
    variant: str
    model: bytes
    feeds: tuple[Inputs, ...]

    @property
    def label(self) -> str:
        return f"{self.suite}/{self.name} [{self.variant}]"


def test_models(suite: str) -> Iterator[TestModel]:
    """The models of a suite, by name."""
    if suite == "node":
        with np.errstate(all="ignore"):
            # The tests compute their expected outputs as they are loaded, overflow and division by zero on purpose.
            loaded = load_model_tests(kind="node")
        for each in sorted(loaded, key=lambda each: each.name):
            names = [value.name for value in free_inputs(each.model)]
            feeds = (dict(zip(names, map(_plain, inputs), strict=False)) for inputs, _ in each.data_sets)
            yield TestModel(suite, each.name, each.model, tuple(feeds))
        return
    folder = Path(DATA_DIR, suite)
    for file in sorted(folder.glob("*.onnx" if suite == "light" else "*/model.onnx")):
        model = onnx.load(file)
        if suite == "light":
            yield TestModel(suite, file.stem, model, (_random_inputs(model),))
        else:
            sets = sorted(file.parent.glob("test_data_set_*"))
            yield TestModel(suite, file.parent.name, model, tuple(_stored_inputs(model, each) for each in sets))


def free_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no initializers."""
    held = {each.name for each in model.graph.initializer}
    return [each for each in model.graph.input if each.name not in held]


def _plain(value: Any) -> Any:
    """A value of a test as an array, a list, a dict or None."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return np.asarray(value) if isinstance(value, np.generic | int | float | bool | str) else value


def _stored_inputs(model: onnx.ModelProto, folder: Path) -> Inputs:
    found: Inputs = {}
    for index, each in enumerate(free_inputs(model)):
        file = folder / f"input_{index}.pb"
        if not file.is_file():
            continue
        match each.type.WhichOneof("value"):
            case "sequence_type":
                found[each.name] = numpy_helper.to_list(onnx.SequenceProto.FromString(file.read_bytes()))
            case "optional_type":
                found[each.name] = numpy_helper.to_optional(onnx.OptionalProto.FromString(file.read_bytes()))
            case "map_type":
                found[each.name] = numpy_helper.to_dict(onnx.MapProto.FromString(file.read_bytes()))
            case _:
                found[each.name] = numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes()))
    return found


def _random_inputs(model: onnx.ModelProto) -> Inputs:
    """Standard normal floats of the declared shapes."""
    found: Inputs = {}
    for position, each in enumerate(free_inputs(model)):
        shape = [size.dim_value for size in each.type.tensor_type.shape.dim]
        found[each.name] = np.random.default_rng(position).standard_normal(shape).astype(np.float32)
    return found


# --- variants ----------------------------------------------------------------------------------------------


def _as_it_is(model: TestModel, random: Random) -> TestModel:
    return model


def _first_left(model: TestModel, random: Random) -> TestModel | None:
    names = [each.name for each in free_inputs(model.model)]
    return _only(model, names[0]) if len(names) > 1 else None


def _random_left(model: TestModel, random: Random) -> TestModel | None:
    names = [each.name for each in free_inputs(model.model)]
    return _only(model, random.choice(names[1:])) if len(names) > 1 else None


def _only(model: TestModel, kept: str) -> TestModel | None:
    """All inputs but one as initializers with the numbers of the first set of inputs; None where none can be one."""
    feeds = model.feeds[0]
    fixed = {
        name for name, value in feeds.items() if name != kept and isinstance(value, np.ndarray) and value.dtype != "O"
    }
    proto = onnx.ModelProto()
    proto.CopyFrom(model.model)
    fixed &= {each.name for each in free_inputs(proto) if each.type.HasField("tensor_type")}
    if not fixed:
        return None
    proto.ir_version = max(proto.ir_version, _INITIALIZERS_NEED_NO_INPUT)
    left = [each for each in proto.graph.input if each.name not in fixed]
    proto.graph.initializer.extend(numpy_helper.from_array(feeds[name], name) for name in sorted(fixed))
    del proto.graph.input[:]
    proto.graph.input.extend(left)
    return TestModel(model.suite, model.name, proto, ({n: v for n, v in feeds.items() if n not in fixed},))


def _symbolic(model: TestModel, random: Random) -> TestModel | None:
    """Every dimension of every input a symbol of its own, and no shape declared of what is computed."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.model)
    count = 0
    for each in free_inputs(proto):
        for size in each.type.tensor_type.shape.dim:
            size.dim_param = f"d{count}"
            count += 1
    if not count:
        return None
    del proto.graph.value_info[:]
    for each in proto.graph.output:
        for size in each.type.tensor_type.shape.dim:
            size.Clear()
    return TestModel(model.suite, model.name, proto, model.feeds)


VARIANTS: dict[str, Callable[[TestModel, Random], TestModel | None]] = {
    "as it is": _as_it_is,
    "first input left": _first_left,
    "random input left": _random_left,
    "symbolic": _symbolic,
}
"""`... input left`: all the others are constants. A model of one input has no such variant: it would be as it is."""


def trials(suite: str, seed: int = 0) -> Iterator[Trial]:
    """Every variant of every model of a suite. What is random is drawn from the seed and the model's name."""
    for model in test_models(suite):
        for variant, make in VARIANTS.items():
            made = make(model, Random(zlib.crc32(f"{seed} {model.name}".encode())))
            if made is not None:
                yield Trial(suite, model.name, variant, made.model.SerializeToString(), made.feeds)
