"""Translate onnxruntime's errors into vggc's, with the node under the name that the user knows."""

from __future__ import annotations

import re
from typing import Literal

from vggc.diagnostics import Code, CompileError, fail

Labels = dict[str, str]
"""How messages name each node, by the name that onnxruntime uses."""

_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_NO_KERNEL = ("Could not find an implementation", "Failed to find kernel")
_NODE = (
    re.compile(r"running (?P<op>\S+) node\. Name:'(?P<name>[^']*)' Status Message: "),
    re.compile(r"implementation for (?P<op>\w+)\(\d+\) node with name '(?P<name>[^']*)'"),
    re.compile(r"find kernel for (?P<op>\w+)\(\d+\) \(node:'(?P<name>[^']*)'"),
    re.compile(r"operator \((?P<op>\w+)\) in node \((?P<name>[^)]*)\)"),
    re.compile(r"Node \((?P<name>[^)]*)\) Op \((?P<op>\w+)\)"),
    re.compile(r"Node:(?P<name>\S*) "),
)
_NOISE = (
    re.compile(r"^Exception during (loading|initialization): "),
    re.compile(r"^This is an invalid model\. "),
    re.compile(r"^.*Status Message: "),
    re.compile(r"^Node \([^)]*\) Op \(\w+\) "),
    re.compile(r"\[\w+Error\] "),
    # `/path/file.h:91 type name(arguments) condition was false. What a person can read.`
    re.compile(r"^\S+\.(cc|h|cpp):\d+ .* was false\.? ?(?=\S)"),
    re.compile(r"^\S+\.(cc|h|cpp):\d+ (?:.*\) )?(?:operator\(\) |\w+ )?"),
    re.compile(r" ?Please fix either the inputs/outputs or the model\.?"),
)
_NAMED = re.compile(r" in node \([^)]*\)")
_UNKNOWN_OP = re.compile(r"(?P<domain>[\w.]*):(?P<op>\w+)\((?P<version>-?\d+)\) is not a registered function/op")
_OPSET = re.compile(r"Opset (?P<version>\d+) is under development")
_LONGEST = 300

WITHOUT_RUNNING = (
    "vggc checks and measures on onnxruntime's CPU: put steps with data and `require` before a cast to what it cannot "
    "run; --verify off leaves the other checks out"
)
"""The help for valid models that onnxruntime cannot run."""

_OTHER_INPUTS = (
    'check the model with samples on which it runs: data samples = npz("samples.npz", limit=8); or use --verify off, '
    "which checks nothing"
)


def failures() -> tuple[type[Exception], ...]:
    """The exceptions that onnxruntime raises: its own, which have no common base, and pybind11's RuntimeError."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [each for each in vars(state).values() if isinstance(each, type) and issubclass(each, Exception)]
    return (*own, RuntimeError, MemoryError)


def translate(error: Exception, labels: Labels, doing: Literal["load", "run"]) -> CompileError:
    """The error with onnxruntime's message, and the node that it is about."""
    text = _CODE.sub("", " ".join(str(error).split()))
    unknown = _UNKNOWN_OP.search(text)
    if unknown:
        domain = unknown["domain"] or "ai.onnx"
        nodes = [label for label in labels.values() if label.startswith(f"{unknown['op']} ")]
        return fail(
            f"onnxruntime has no operator {unknown['op']} of the domain `{domain}`",
            facts=tuple(("node", each) for each in nodes[:1]),
            help=WITHOUT_RUNNING,
            code=Code.ONNXRUNTIME,
        )
    newer = _OPSET.search(text)
    if newer:
        return fail(
            f"onnxruntime does not know opset {newer['version']} yet",
            help="export the model with an older opset, or use --verify off",
            code=Code.ONNXRUNTIME,
        )
    if any(each in text for each in _NO_KERNEL):
        return fail(
            "onnxruntime cannot load the model: its CPU has no kernel for this operator with these types",
            facts=_node(text, labels),
            help=WITHOUT_RUNNING,
            code=Code.ONNXRUNTIME,
        )
    if "bad_alloc" in text or "Failed to allocate memory" in text or isinstance(error, MemoryError):
        return fail(f"there is not enough memory to {doing} the model", facts=_node(text, labels), code=Code.MEMORY)
    help = _OTHER_INPUTS if doing == "run" else ""
    return fail(
        f"onnxruntime cannot {doing} the model: {_reason(text)}",
        facts=_node(text, labels),
        help=help,
        code=Code.ONNXRUNTIME,
    )


def _node(text: str, labels: Labels) -> tuple[tuple[str, str], ...]:
    # An error inside the body of an If names the If first and the inner node last.
    for pattern in _NODE:
        matches = list(pattern.finditer(text))
        if matches:
            last = matches[-1].groupdict()
            if last["name"] in labels:
                return (("node", labels[last["name"]]),)
            if last["name"]:
                return (("node", f"{last.get('op') or 'node'} `{last['name']}`"),)
    return ()


def _reason(text: str) -> str:
    for pattern in _NOISE:
        text = pattern.sub("", text)
    text = _NAMED.sub("", text)
    text = text.strip().rstrip(".")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
