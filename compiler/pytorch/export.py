"""A module as an ONNX graph, by PyTorch's exporter on torch.export.

The exporter's own optimizer is left out, for it would fold the batch norms into the convolutions. What it would have
tidied up besides is left to the pass `simplify`, which keeps them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vggc.diagnostics import CompileError, fail
from vggc.graph import Graph
from vggc.graph.extras import node_extras
from vggc.passes.simplify import simplify
from vggc.pytorch.inputs import InputSpec
from vggc.pytorch.module import need_torch

_MISSING = re.compile(r"No ONNX function found for <OpOverload\(op='(?P<name>[\w.]+)'")
_PLACE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \w+')
_SCOPES = "pkg.torch.onnx.name_scopes"


def export_graph(
    module: Any,
    arguments: Sequence[Any],
    inputs: Sequence[InputSpec],
    symbols: Mapping[str, Mapping[int, str]],
    folder: Path,
) -> Graph:
    """The graph of a module in eval mode, its batch norms kept, its nodes named after the module's parts.

    `arguments` are tensors for forward, of the types of `inputs`; every size on a dynamic axis is 2 or more, since
    torch.export takes 0 and 1 for what they are. The weights stay in `folder` as long as the graph lives. Raises
    CompileError where the exporter fails, with the operator that ONNX has not, or the line of the user's that it cannot
    follow.
    """
    torch = need_torch()
    dims = {
        name: torch.export.Dim(name)
        for name in dict.fromkeys(each for one in symbols.values() for each in one.values())
    }
    shapes = tuple({axis: dims[symbol] for axis, symbol in symbols[each.name].items()} for each in inputs)
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                tuple(arguments),
                dynamo=True,
                optimize=False,
                verbose=False,
                input_names=[each.name for each in inputs],
                dynamic_shapes=shapes if dims else None,
            )
    except Exception as error:
        raise _explained(error, list(dims)) from error
    # The exporter's own way to a file, which holds for weights beyond 2 GiB, too.
    path = folder / "exported.onnx"
    with _quiet():
        program.save(path, external_data=True)
    graph = Graph.load(path)
    graph.infer_shapes(check=True)
    _name_outputs(graph)
    simplify(graph)
    _name_nodes(graph)
    graph.infer_shapes()
    return graph


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what PyTorch says of its own inner workings to itself; what goes wrong it raises."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _explained(error: BaseException, dims: Sequence[str]) -> CompileError:
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    texts = [str(each) for each in chain]
    for text in texts:
        if missing := _MISSING.search(text):
            return fail(
                f"the operator `{missing['name']}` has no counterpart in ONNX",
                facts=_place(texts),
                help="write that part of forward with other operators; PyTorch's own list is at "
                "https://docs.pytorch.org/docs/stable/onnx_export.html",
            )
    first = next((line.strip() for line in texts[-1].splitlines() if line.strip()), type(chain[-1]).__name__)
    facts = (("note", f"{type(chain[-1]).__name__}: {first}"), *_place(texts))
    if "data-dependent" in texts[-1]:
        help = "an `if` or a shape depends on the numbers in a tensor: use torch.where, or a fixed size"
    elif dims:
        help = f"if the module holds for one size only, export it without --dynamic {' --dynamic '.join(dims)}"
    else:
        help = "torch.export has to follow forward: https://docs.pytorch.org/docs/stable/export.html"
    return fail("PyTorch's exporter cannot export this module", facts=facts, help=help)


def _place(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The last line outside of libraries that a message of PyTorch names."""
    found = [match for text in texts for match in _PLACE.finditer(text) if "site-packages" not in match["file"]]
    return (("at", f"{found[-1]['file']}:{found[-1]['line']}"),) if found else ()


def _name_outputs(graph: Graph) -> None:
    """`output`, or `output_0`, `output_1`: the exporter names them after whatever computes them."""
    taken = {value.name for value in graph.inputs}
    named = {value.name for node in graph.nodes for value in (*node.inputs, *node.outputs)} | taken
    for index, value in enumerate(graph.outputs):
        name = "output" if len(graph.outputs) == 1 else f"output_{index}"
        if value.name in taken or (value.name != name and name in named):
            continue
        value.name = name
    graph.tidy()


def _name_nodes(graph: Graph) -> None:
    """Name every node after the part of the module it comes from: `features.0`, or `features.0.Conv` beside others.

    What the exporter notes on each node (paths and lines of the machine it ran on) goes.
    """
    places = [_scope(node_extras(node).metadata.get(_SCOPES, "")) for node in graph.nodes]
    counts = Counter(places)
    taken: Counter[str] = Counter()
    for node, place in zip(graph.nodes, places, strict=True):
        name = place if place and counts[place] == 1 else f"{place}.{node.op}".lstrip(".")
        taken[name] += 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name] - 1}"
        node_extras(node).metadata = {}
    graph.tidy()


def _scope(text: str) -> str:
    """The path of the module in `['', 'features', 'features.0', 'conv2d']`; empty for the outermost."""
    try:
        scopes = literal_eval(text) if text else []
    except (ValueError, SyntaxError):
        return ""
    place = str(scopes[-2]) if isinstance(scopes, list) and len(scopes) > 1 else ""
    # What the exporter adds without knowing whence, it puts under a name with an underscore.
    return "" if place.startswith("_") else place
