"""Messages about an engine build that failed: what TensorRT logged, in terms of the user's model."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable
from typing import Any

from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.targets.engine_child import errors_in
from vggc.targets.node_names import Describe

TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT RTX"}

DANGEROUS_WARNINGS = ("Defaulting to INT8", "Clamping", "was clamped")
"""Warnings after which TensorRT continues with numbers that differ from the model's."""

_LOST_MEMORY = re.compile(
    r"out of memory|outofmemory|bad_alloc|cannot allocate|MEM_ALLOC_FAILED|failed to map segment", re.IGNORECASE
)
# TensorRT logs this after any error on a machine without a GPU. It is about the reporting and not about the error.
_ECHO = re.compile(r"catchCudaError.*CUDA driver version is insufficient", re.DOTALL)
_PLACE = re.compile(r"^\w+\.[ch]pp:\d+: |\s*In \S+ at /\S+\.(?:cpp|h|hpp|cu):\d+")
_SHOWN = 10
_KEEP_MODEL = "use `target onnx` alone to write the compiled model and look for what TensorRT does not support"

Facts = tuple[tuple[str, str], ...]
Entry = dict[str, Any]


class ModelRefused(CompileError):
    """The importer refuses the model. It stopped at the first node; `import_findings` finds all of them."""


_ELSEWHERE = "rewrite it with supported operators (a `rule` can do this), or run the model with `target onnxruntime`"
_MEANINGS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"plugin.* not found|^creator &&|failed to load .*plugin", re.I),
        "this operator is not supported",
        _ELSEWHERE,
    ),
    (re.compile(r"^false$"), "this operator is not supported", _ELSEWHERE),
    (
        re.compile(
            r"build-time constant|must be an initializer|is not a constant|not an initializer|isWeights|is_weights"
        ),
        "an input that must be constant is computed while the model runs",
        "fix the input shapes with set_input_shapes, then use `simplify`, which computes constants ahead of time",
    ),
    (re.compile(r"convertDtype|Failed to convert ONNX dat"), "a value has a type that is not supported", ""),
    (
        re.compile(r"doesn't support mo\w+ than 1 outputs"),
        "this operator is supported with one output only",
        "export the model for inference, without the outputs for training",
    ),
    (
        re.compile(r"number of scales is not equal"),
        "the number of scales is not the number of channels",
        "quantize it again",
    ),
    (
        re.compile(r"has no runners that implement it"),
        "this operator can be imported, but has no implementation to build",
        _ELSEWHERE,
    ),
    (
        re.compile(r"Attention operation was not supported"),
        "there is no kernel for the types, head sizes or mask of this Attention",
        "compile it to float16, or write the Attention as MatMul, Softmax and MatMul",
    ),
    (
        re.compile(r"FP32 GEMM is not supported"),
        "sm75 GPUs have no float32 matrix product",
        "remove sm75 from compute, or compile the model to float16",
    ),
    (
        re.compile(r"not enough workspace|insufficient workspace|increasing the workspace|max_workspace", re.I),
        "no kernel fits into the workspace",
        "increase workspace=, or remove it",
    ),
    (
        re.compile(r"but is not produced by IPluginLayer.*IQuantizeLayer"),
        "only QuantizeLinear may produce this type",
        "quantize with a scale instead of casting",
    ),
)
"""What TensorRT's messages mean, and what to do about them."""


def meaning(text: str) -> tuple[str, str] | None:
    """The meaning of an error of the importer or the builder, and the help; None when it is not known."""
    return next(((what, help) for pattern, what, help in _MEANINGS if pattern.search(text)), None)


def crashed(package: str, status: int, stderr: str) -> CompileError:
    """The build process ended without a result. `status` is negative for a signal, `stderr` the end of its stderr."""
    title = TITLES[package]
    facts = _last_line(stderr)
    if _LOST_MEMORY.search(stderr):
        return _out_of_memory(title, facts)
    if status >= 0:
        return fail(
            f"the {title} build ended without a result (exit status {status})",
            facts=facts,
            help=_KEEP_MODEL,
            code=Code.BUILD_ENDED,
        )
    known = {each.value: each.name for each in signal.Signals}
    name = known.get(-status, f"signal {-status}")
    if name == "SIGKILL":
        return fail(
            f"the {title} build was killed (SIGKILL)",
            facts=facts,
            help="the system kills a process when memory runs out: close other programs or build a smaller model",
            code=Code.BUILD_ENDED,
        )
    return fail(
        f"{title} crashed while it built the engine ({name})", facts=facts, help=_KEEP_MODEL, code=Code.BUILD_ENDED
    )


def timed_out(package: str, timeout: float) -> CompileError:
    """The build took longer than allowed. `timeout` is in seconds."""
    return fail(
        f"{TITLES[package]} did not finish the engine within {timeout:g} s",
        help="allow it more time with timeout=",
        code=Code.BUILD_ENDED,
    )


def stalled(package: str, seconds: float) -> CompileError:
    """The process has done nothing for `seconds`, as TensorRT RTX may when memory is short."""
    title = TITLES[package]
    return fail(
        f"{title} makes no progress: it has done nothing for {seconds:g} s",
        help=f"{title} can deadlock when memory is short: close other programs and try again",
        code=Code.BUILD_ENDED,
    )


def failed(package: str, result: dict[str, Any], stderr: str, describe: Describe) -> CompileError | OSError:
    """The error for a job that failed; `result` is what the child printed. An OSError when it could not write."""
    title, kind = TITLES[package], result["failed"]
    errors = errors_in(result["log"])
    own = [each for each in errors if not _ECHO.search(each["text"])] or errors
    logged = tuple((title, short(each["text"])) for each in own[:_SHOWN])
    if kind == "write":
        return OSError(result["errno"], os.strerror(result["errno"]), result["path"])
    if kind == "import":
        if _LOST_MEMORY.search(result["text"]):
            return _out_of_memory(title, (("loader", result["text"]),))
        return fail(
            f"the Python package `{package}` cannot be loaded: {result['text']}",
            help="install it again",
            code=Code.MISSING_PACKAGE,
        )
    if kind == "memory" or any(_LOST_MEMORY.search(each["text"]) for each in own):
        return _out_of_memory(title, logged)
    if kind == "import_model" and result.get("errors"):
        return ModelRefused(*(import_message(each, title, describe) for each in result["errors"]))
    if kind == "build" and own:
        return CompileError(*_by_node(own, f"{title} cannot build {{}}", title, describe))
    if kind == "no_layers":
        return fail(
            f"{title} found no operator in the model, so there is nothing to build", facts=logged, code=Code.BUILD
        )
    if kind == "capability":
        unknown, known = (", ".join(each.lower() for each in result[key]) for key in ("unknown", "known"))
        return fail(
            f"{title} {result['version']} does not support compute capability {unknown}",
            help=f"it supports {known}",
            code=Code.CAPABILITY,
        )
    if kind == "lacking":
        option, version = result["option"], result["version"]
        return fail(
            f"{title} {version} does not support the option `{option}`: it has no {result['what']}", code=Code.BUILD
        )
    if kind == "timing_cache":
        return fail(
            f"{title} cannot use the timing cache `{result['path']}`",
            facts=logged,
            help="it belongs to another release or GPU: build without it, and keep a new one with keep_timings=true",
            code=Code.BUILD,
        )
    if kind in _RUNNING:
        return fail(
            _RUNNING[kind][0].format(title=title, **result), facts=logged, help=_RUNNING[kind][1], code=Code.ENGINE_RUN
        )
    if kind == "shape_input":
        return CompileError(*(_shape_input(name, title) for name in result["inputs"]))
    if kind == "exception":
        text = result["text"].strip().splitlines()[0]
        advice = "TensorRT needs an NVIDIA GPU and its driver to build" if package == "tensorrt" else ""
        return fail(f"{title} could not build the engine: {text}", facts=logged, help=advice, code=Code.BUILD)
    return fail(
        f"{title} did not build the engine and gave no reason",
        facts=logged or _last_line(stderr),
        help=_KEEP_MODEL,
        code=Code.BUILD,
    )


def other_numbers(package: str, log: Iterable[Entry], describe: Describe) -> list[Diagnostic]:
    """Errors for the warnings after which the engine would not compute what the model computes."""
    dangerous = [
        each
        for each in log
        if each["severity"] == "WARNING" and any(text in each["text"] for text in DANGEROUS_WARNINGS)
    ]
    title = TITLES[package]
    return _by_node(dangerous, f"{title} would build {{}} with numbers that differ from the model's", title, describe)


def short(text: str) -> str:
    """A logged text on one line, without source locations of TensorRT."""
    return " ".join(_PLACE.sub("", text).split())[:500]


def _by_node(entries: Iterable[Entry], message: str, title: str, describe: Describe) -> list[Diagnostic]:
    """One message for each node that entries are about; one for the model when none names a node."""
    texts: dict[str, dict[str, None]] = {}
    for each in entries:
        texts.setdefault(each["about"], {})[short(each["text"])] = None
    if len(texts) > 1:
        # Entries that name no node repeat in general words what other entries say about a node.
        texts.pop("", None)
    messages = []
    for name, entry_texts in list(texts.items())[:_SHOWN]:
        known = next((known for text in entry_texts if (known := meaning(text))), None)
        facts: Facts = tuple((title, text) for text in list(entry_texts)[:_SHOWN])
        facts, help = ((("note", known[0]), *facts), known[1]) if known else (facts, "")
        if name:
            described = describe(name)
            messages.append(
                Diagnostic(message.format(described.label), facts=described.facts + facts, help=help, code=Code.BUILD)
            )
        else:
            messages.append(Diagnostic(message.format("this model"), facts=facts, help=help, code=Code.BUILD))
    return messages


_RUNNING = {
    "other_engine": (
        "the engine `{path}` is not the one that its sidecar describes: its SHA-256 differs",
        "an engine contains code: load it only from a source you trust, or build it again from its model",
    ),
    "gpu": ("the engine cannot run here: {text}", "run it on a machine with an NVIDIA GPU and its driver"),
    "load": (
        "{title} cannot load the engine",
        "an engine loads with the release that built it, on GPUs of the capabilities it was built for",
    ),
    "profile": ("the engine has no optimisation profile {number}", ""),
    "shape": (
        "the engine does not accept shape {shape} for `{name}`",
        "the sidecar lists the shapes that it was built for",
    ),
    "unset": ("the engine has inputs that the model does not have: {names}", ""),
    "unbounded": (
        "the size of the output `{name}` depends on the numbers in the inputs",
        "compare this output in another way",
    ),
    "type": (
        "an input or output of the engine has the type `{name}`, which numpy does not support",
        "keep inputs and outputs in float32",
    ),
    "run": ("the engine failed while it ran", ""),
}
"""By kind of failure, the message about an engine that does not run, and the help."""


def import_message(error: dict[str, Any], title: str, describe: Describe) -> Diagnostic:
    """The message for one error of the importer: its meaning where that is known, and TensorRT's text."""
    facts: Facts = ((title, short(error["text"])),)
    if error["inside"]:
        facts = (("inside", ", ".join(error["inside"])), *facts)
    known = meaning(error["text"])
    if known:
        facts = (("note", known[0]), *facts)
    help = known[1] if known else ""
    if error["node"]:
        described = describe(error["node"])
        return Diagnostic(
            f"{title} cannot import {described.label}", facts=described.facts + facts, help=help, code=Code.IMPORT
        )
    what = f"the input `{error['input']}`" if error["input"] else "this model"
    return Diagnostic(f"{title} cannot import {what}", facts=facts, help=help, code=Code.IMPORT)


def _shape_input(name: str, title: str) -> Diagnostic:
    return Diagnostic(
        f"the values of the input `{name}` determine shapes inside the model, and {title} has no profile for them",
        help="make that input a constant before compiling",
        code=Code.PROFILE,
    )


def _out_of_memory(title: str, facts: Facts) -> CompileError:
    return fail(
        f"{title} ran out of memory while it built the engine",
        facts=facts,
        help="close other programs, or build where there is more memory",
        code=Code.BUILD_MEMORY,
    )


def _last_line(stderr: str) -> Facts:
    return (("last output", stderr.splitlines()[-1].strip()),) if stderr else ()
