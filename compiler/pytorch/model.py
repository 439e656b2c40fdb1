"""The whole way: build the module, load its weights, export it, and hold the result against the module itself."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vggc.diagnostics import CompileError, fail
from vggc.execution.array_distance import distance
from vggc.execution.model_comparison import TOLERANCE, Difference, difference
from vggc.execution.session import Session
from vggc.graph.arrays import Array
from vggc.pytorch.export import export_graph
from vggc.pytorch.inputs import Dynamic, InputSpec, axes, check_inputs, draw, sizes_of
from vggc.pytorch.module import load_module, need_torch, raised
from vggc.pytorch.weights import load_weights

BATCHES = (1, 3)
"""Sizes of a dynamic dimension that are compared beside the one given, where it is the first axis."""

_SEEDS = (0, 1)

_VACUOUS = 10
"""How many times what may be off the outputs have to move with the inputs, to say anything."""


@dataclass(frozen=True)
class Request:
    """What to export: `package.module:factory`, a file of weights, the inputs of forward in its order."""

    factory: str
    inputs: tuple[InputSpec, ...]
    weights: Path | None = None
    dynamic: tuple[Dynamic, ...] = ()
    tolerance: float | None = None
    """how far an output may be from the module's, relative to its largest; by default what its type allows"""


@dataclass(frozen=True)
class Made:
    """An exported model: its nodes by operator, its opset, and its largest error beside the module over `runs` runs.

    `told` is how far the module's outputs are apart for different inputs, relative to the largest: where that is
    little, the comparison says little.
    """

    nodes: Counter[str]
    opset: int
    worst: Difference
    runs: int
    told: float

    @property
    def vacuous(self) -> bool:
        return self.told <= _VACUOUS * self.worst.tolerance


def export_model(request: Request, path: Path, *, progress: Callable[[str], None] = lambda _: None) -> Made:
    """Write the module as an ONNX model that has been compared with it; nothing is written where they differ.

    Both run on seeded random inputs of the sizes given, and where a dimension is dynamic of others, too. Raises
    CompileError for whatever is wrong with the factory, the weights, the inputs or the export.
    """
    check_inputs(request.inputs)
    symbols = axes(request.inputs, request.dynamic)
    sizes = sizes_of(request.inputs, symbols)
    if not path.absolute().parent.is_dir():
        raise fail(f"there is no folder `{path.parent}` to write `{path.name}` into")
    progress("building the module")
    torch = need_torch()
    module = load_module(request.factory)
    if request.weights is not None:
        progress("loading the weights")
        load_weights(module, request.weights)
    example = [torch.from_numpy(each) for each in draw(request.inputs, symbols, _at_least_two(sizes), seed=0)]
    _run(torch, module, example, request)
    with _staging(path) as folder:
        progress("exporting")
        graph = export_graph(module, example, request.inputs, symbols, folder)
        files = graph.save(folder / path.name)
        progress("comparing with PyTorch")
        worst, runs, told = _compare(torch, module, folder / path.name, request, symbols=symbols, sizes=sizes)
        # The weights first: the model refers to them.
        for each in reversed(files):
            each.path.replace(path.parent / each.path.name)
    return Made(Counter(node.op for node in graph.nodes), graph.opset, worst, runs, told)


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """A folder beside the file to write, on the same disk."""
    try:
        with tempfile.TemporaryDirectory(prefix=".vggc-", dir=path.parent) as folder:
            yield Path(folder)
    except OSError as error:
        raise fail(f"cannot write `{path}`: {error.strerror or error}") from None


def _at_least_two(sizes: Mapping[str, int]) -> dict[str, int]:
    """torch.export would take a size of 1 for a constant."""
    return {name: max(2, size) for name, size in sizes.items()}


def _run(torch: Any, module: Any, arguments: Sequence[Any], request: Request) -> list[Array]:
    """What the module computes, its outputs in the order in which the exporter hands them out."""
    try:
        with torch.inference_mode():
            found = module(*arguments)
    except Exception as error:
        problem = raised("forward", error).diagnostics[0]
        given = ", ".join(
            f"`{each.name}` {each.dtype}{list(array.shape)}"
            for each, array in zip(request.inputs, arguments, strict=True)
        )
        help = "one --input for each argument of forward, in its order, of the shape and type that it takes"
        raise fail(problem.message, facts=(*problem.facts, ("inputs", given)), help=help) from error
    leaves = torch.utils._pytree.tree_leaves(found)
    return [_array(torch, each) for each in leaves if each is not None]


def _array(torch: Any, tensor: Any) -> Array:
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return np.asarray(tensor.detach().view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    return np.asarray(tensor.detach().numpy())


def _compare(
    torch: Any,
    module: Any,
    path: Path,
    request: Request,
    *,
    symbols: Mapping[str, Mapping[int, str]],
    sizes: Mapping[str, int],
) -> tuple[Difference, int, float]:
    """The output furthest from the module's own, over all sizes and seeds, the number of runs, and what inputs tell."""
    session = Session(path)
    known = {each.name for each in session.inputs}
    worst: Difference | None = None
    seen: list[list[Array]] = []
    choices = _choices(symbols, sizes)
    for seed, chosen in [(seed, chosen) for chosen in choices for seed in _SEEDS]:
        arrays = draw(request.inputs, symbols, chosen, seed)
        expected = _run(torch, module, [torch.from_numpy(each) for each in arrays], request)
        seen.append(expected)
        got = session.run(
            {each.name: array for each, array in zip(request.inputs, arrays, strict=True) if each.name in known}
        )
        if len(got) != len(expected):
            raise fail(f"the module gives {len(expected)} tensors, and the exported model {len(got)}")
        for (name, array), wanted in zip(got.items(), expected, strict=True):
            found = difference(name, wanted, np.asarray(array), _allowed(request, wanted))
            if not found.ok:
                raise _differs(found, chosen)
            worst = found if worst is None else max(worst, found, key=lambda each: each.error)
    if worst is None:
        raise fail("the module gives no tensor", help="forward has to return a tensor, or several in a tuple or dict")
    # The first two runs are of one size, and of other numbers.
    told = max((distance(first, second).error for first, second in zip(*seen[: len(_SEEDS)], strict=True)), default=0.0)
    return worst, len(choices) * len(_SEEDS), told


def _allowed(request: Request, wanted: Array) -> float:
    coarsest = max((TOLERANCE.get(each.dtype, 0.0) for each in request.inputs), default=0.0)
    own = TOLERANCE.get(str(wanted.dtype), 0.0)
    return request.tolerance if request.tolerance is not None and own else max(own, coarsest) if own else 0.0


def _choices(symbols: Mapping[str, Mapping[int, str]], sizes: Mapping[str, int]) -> list[dict[str, int]]:
    """Sizes to compare at: those given, and other batches."""
    batches = {symbol for axes in symbols.values() for axis, symbol in axes.items() if axis == 0}
    found = [dict(sizes)]
    for size in BATCHES if batches else ():
        found.append({name: size if name in batches else given for name, given in sizes.items()})
    others = {name: given if name in batches else 2 * given for name, given in sizes.items()}
    return [each for at, each in enumerate([*found, others]) if each not in [*found, others][:at]]


def _differs(found: Difference, sizes: Mapping[str, int]) -> CompileError:
    at = f" with {', '.join(f'{name} = {size}' for name, size in sizes.items())}" if sizes else ""
    shape = math.isinf(found.error)
    help = (
        "forward may use a size as a number (`int(x.shape[0])`), or be random"
        if shape or sizes
        else "forward may be random; what only rounding explains passes with --tolerance"
    )
    return fail(
        f"the exported model does not compute what the module computes{at}; nothing was written",
        facts=(("output", f"`{found.name}`: {found}"),),
        help=help,
    )
