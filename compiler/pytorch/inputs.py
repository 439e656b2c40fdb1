"""The inputs of a module that is exported, parsed from the options of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vggc.data import random_array
from vggc.diagnostics import Code, fail, nearest, spelling_help
from vggc.graph.arrays import Array

TYPES = ("float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
"""Element types that an input may have."""

_HELP = 'write a name and a shape, `--input "x: 1x3x32x32"`, and a type if it is not float32: "ids: int64 1x128"'
_SPEC = re.compile(r"\s*(?P<name>[^\s:]+)\s*:\s*(?:(?P<type>[A-Za-z]\w*)\s+)?(?P<shape>\d+(?:\s*x\s*\d+)*)\s*")
_AXIS = re.compile(r"\s*(?P<input>[^\s:,]+)\s*:\s*(?P<axis>\d+)\s*")
_LARGEST_BYTES = 1 << 30


@dataclass(frozen=True)
class InputSpec:
    """An input: its name, the name of its element type, and its shape with a number for each axis."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"`{self.name}` {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Dynamic:
    """A dimension that may have any size: its name, and its places as (input, axis).

    Without places, it is the first axis of every input: the batch.
    """

    name: str
    places: tuple[tuple[str, int], ...] = ()


def parse_input(text: str) -> InputSpec:
    """Parse `x: 1x3x32x32` or `ids: int64 1x128`. Raises CompileError for any other text."""
    match = _SPEC.fullmatch(text)
    if match is None:
        raise fail(f"`{text}` is not an input specification", help=_HELP, code=Code.MODULE_INPUTS)
    dtype = match["type"] or "float32"
    if dtype not in TYPES:
        raise fail(
            f"`{dtype}` is not a type of an input", help=spelling_help(dtype, TYPES, "types"), code=Code.MODULE_INPUTS
        )
    shape = tuple(int(each) for each in match["shape"].split("x"))
    if 0 in shape:
        raise fail(
            f"the input `{match['name']}` is empty: an axis of its shape is 0", help=_HELP, code=Code.MODULE_INPUTS
        )
    if int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize > _LARGEST_BYTES:
        raise fail(
            f"the input `{match['name']}` would take more than 1 GiB",
            help="give it a smaller shape",
            code=Code.MODULE_INPUTS,
        )
    return InputSpec(match["name"], dtype, shape)


def parse_dynamic(text: str) -> Dynamic:
    """Parse `batch` or `height=x:2,mask:1`. Raises CompileError for any other text."""
    name, equals, rest = (each.strip() for each in text.partition("="))
    places = [_AXIS.fullmatch(each) for each in rest.split(",")] if equals else []
    if not name.isidentifier() or not all(places):
        help = "write `--dynamic batch` for the first axis of every input, or `--dynamic height=x:2` for axis 2 of `x`"
        raise fail(f"`{text}` is not a dynamic dimension", help=help, code=Code.MODULE_INPUTS)
    return Dynamic(name, tuple((each["input"], int(each["axis"])) for each in places if each is not None))


def check_inputs(inputs: Sequence[InputSpec]) -> None:
    """Raise CompileError when there are no inputs, or two with the same name."""
    if not inputs:
        help = f"{_HELP}; from Python, example tensors: inputs=[torch.zeros(1, 3, 32, 32)]"
        raise fail("a PyTorch module does not declare its inputs", help=help, code=Code.MODULE_INPUTS)
    names = [each.name for each in inputs]
    for name in names:
        if names.count(name) > 1:
            raise fail(
                f"the input `{name}` is given twice",
                help="write one --input for each argument of forward, in order",
                code=Code.MODULE_INPUTS,
            )


def axes(inputs: Sequence[InputSpec], dynamic: Sequence[Dynamic]) -> dict[str, dict[int, str]]:
    """The name of every dynamic axis, by input and axis. Raises CompileError for a missing axis or one named twice."""
    known = {each.name: each for each in inputs}
    names: dict[str, dict[int, str]] = {each.name: {} for each in inputs}
    for dimension in dynamic:
        option = f"--dynamic {dimension.name}"
        for name, axis in dimension.places or [(name, 0) for name in known]:
            if name not in known:
                close = nearest(name, known)
                help = f"a similar name exists: `{close}`" if close else f"inputs: {', '.join(map(str, inputs))}"
                raise fail(f"{option}: there is no input `{name}`", help=help, code=Code.MODULE_INPUTS)
            if axis >= len(known[name].shape):
                raise fail(
                    f"{option}: input {known[name]} has no axis {axis}",
                    help="axes count from 0",
                    code=Code.MODULE_INPUTS,
                )
            if axis in names[name]:
                raise fail(
                    f"axis {axis} of input `{name}` is dynamic twice: {names[name][axis]} and {dimension.name}",
                    code=Code.MODULE_INPUTS,
                )
            names[name][axis] = dimension.name
    return names


def sizes_of(inputs: Sequence[InputSpec], symbols: Mapping[str, Mapping[int, str]]) -> dict[str, int]:
    """The size of each dynamic dimension in the given inputs. Raises CompileError when an input has another size."""
    sizes: dict[str, int] = {}
    for spec in inputs:
        for axis, symbol in symbols[spec.name].items():
            size = sizes.setdefault(symbol, spec.shape[axis])
            if size != spec.shape[axis]:
                raise fail(
                    f"the dynamic dimension `{symbol}` is {size} in one input, but {spec.shape[axis]} in {spec}",
                    help="axes with the same name have the same size; give the other axis another name",
                    code=Code.MODULE_INPUTS,
                )
    return sizes


def draw(
    inputs: Sequence[InputSpec], symbols: Mapping[str, Mapping[int, str]], sizes: Mapping[str, int], seed: int
) -> list[Array]:
    """Seeded random numbers for each input, with the given sizes of dynamic axes: normal floats, integers 0 or 1.

    Integers are so small because they may be indices into small tables.
    """
    arrays = []
    for position, spec in enumerate(inputs):
        names = symbols[spec.name]
        shape = [sizes[names[axis]] if axis in names else size for axis, size in enumerate(spec.shape)]
        generator = np.random.default_rng((seed, position))
        arrays.append(np.asarray(random_array(generator, np.dtype(spec.dtype), shape, below=2)))
    return arrays
