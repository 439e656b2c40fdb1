"""The inputs that a module is exported with, as the command line gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vggc.data import random_array
from vggc.diagnostics import fail, nearest, spelling_help
from vggc.graph.arrays import Array

TYPES = ("float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
"""Element types that an input may have."""

_HELP = (
    'write a name and a shape, `--input "x: 1x3x32x32"`, with a type before it if it is not float32: "ids: int64 1x128"'
)
_SPEC = re.compile(r"\s*(?P<name>[^\s:]+)\s*:\s*(?:(?P<type>[A-Za-z]\w*)\s+)?(?P<shape>\d+(?:\s*x\s*\d+)*)\s*")
_AXIS = re.compile(r"\s*(?P<input>[^\s:,]+)\s*:\s*(?P<axis>\d+)\s*")
_LARGEST_BYTES = 1 << 30


@dataclass(frozen=True)
class InputSpec:
    """An input: its name, the name of its element type, and its shape as a number for each axis."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"`{self.name}` {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Dynamic:
    """A dimension that may have any size: its name, and where it stands as (input, axis).

    Without places it is the first axis of every input: the batch.
    """

    name: str
    places: tuple[tuple[str, int], ...] = ()


def parse_input(text: str) -> InputSpec:
    """`x: 1x3x32x32`, `ids: int64 1x128`. Raises CompileError for anything else."""
    found = _SPEC.fullmatch(text)
    if found is None:
        raise fail(f"`{text}` is no input", help=_HELP)
    dtype = found["type"] or "float32"
    if dtype not in TYPES:
        raise fail(f"`{dtype}` is no type of an input", help=spelling_help(dtype, TYPES, "types"))
    shape = tuple(int(each) for each in found["shape"].split("x"))
    if 0 in shape:
        raise fail(f"the input `{found['name']}` is empty: an axis of its shape is 0", help=_HELP)
    if int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize > _LARGEST_BYTES:
        raise fail(f"the input `{found['name']}` would take more than 1 GiB", help="give it a smaller shape")
    return InputSpec(found["name"], dtype, shape)


def parse_dynamic(text: str) -> Dynamic:
    """`batch` or `height=x:2,mask:1`. Raises CompileError for anything else."""
    name, equals, rest = (each.strip() for each in text.partition("="))
    places = [_AXIS.fullmatch(each) for each in rest.split(",")] if equals else []
    if not name.isidentifier() or not all(places):
        help = "write `--dynamic batch` for the first axis of every input, or `--dynamic height=x:2` for axis 2 of `x`"
        raise fail(f"`{text}` is no dynamic dimension", help=help)
    return Dynamic(name, tuple((each["input"], int(each["axis"])) for each in places if each is not None))


def check_inputs(inputs: Sequence[InputSpec]) -> None:
    """Raise CompileError when there are none, or two of one name."""
    if not inputs:
        raise fail("a module does not say what inputs it takes", help=_HELP)
    names = [each.name for each in inputs]
    for name in names:
        if names.count(name) > 1:
            raise fail(
                f"the input `{name}` is given twice", help="one --input for each argument of forward, in its order"
            )


def axes(inputs: Sequence[InputSpec], dynamic: Sequence[Dynamic]) -> dict[str, dict[int, str]]:
    """The symbol of every dynamic axis, by input and axis. Raises CompileError for one not there, or named twice."""
    known = {each.name: each for each in inputs}
    found: dict[str, dict[int, str]] = {each.name: {} for each in inputs}
    for each in dynamic:
        for name, axis in each.places or [(name, 0) for name in known]:
            if name not in known:
                close = nearest(name, known)
                help = f"a similar name exists: `{close}`" if close else f"inputs: {', '.join(map(str, inputs))}"
                raise fail(f"--dynamic {each.name}: there is no input `{name}`", help=help)
            if axis >= len(known[name].shape):
                raise fail(f"--dynamic {each.name}: input {known[name]} has no axis {axis}", help="axes count from 0")
            if axis in found[name]:
                raise fail(f"axis {axis} of input `{name}` is dynamic twice: {found[name][axis]} and {each.name}")
            found[name][axis] = each.name
    return found


def sizes_of(inputs: Sequence[InputSpec], symbols: Mapping[str, Mapping[int, str]]) -> dict[str, int]:
    """The size that each dynamic dimension has in the inputs given. Raises CompileError where they contradict."""
    found: dict[str, int] = {}
    for each in inputs:
        for axis, symbol in symbols[each.name].items():
            size = found.setdefault(symbol, each.shape[axis])
            if size != each.shape[axis]:
                raise fail(
                    f"the dynamic dimension `{symbol}` is {size} in one input and {each.shape[axis]} in {each}",
                    help="axes of one name have one size; give the other axis a name of its own",
                )
    return found


def draw(
    inputs: Sequence[InputSpec], symbols: Mapping[str, Mapping[int, str]], sizes: Mapping[str, int], seed: int
) -> list[Array]:
    """Seeded random numbers for each input, its dynamic axes of the sizes given: floats normal, integers 0 or 1.

    Integers are that small because they may be indices into something small.
    """
    found = []
    for position, each in enumerate(inputs):
        shape = [
            sizes[symbols[each.name][axis]] if axis in symbols[each.name] else size
            for axis, size in enumerate(each.shape)
        ]
        generator = np.random.default_rng((seed, position))
        found.append(np.asarray(random_array(generator, np.dtype(each.dtype), shape, below=2)))
    return found
