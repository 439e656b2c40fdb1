"""The configuration of a model in Triton's repository, as protobuf text (`inference.ModelConfig`).

Source: Triton's documentation of the model configuration, and model_config.proto for the values of DataType and
ModelInstanceGroup.Kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.graph.signature import ValueType, type_text
from vggc.graph.writer import onnx_type
from vggc.targets.serving_types import TRITON_TYPES

KINDS = {"auto": "KIND_AUTO", "gpu": "KIND_GPU", "cpu": "KIND_CPU"}


@dataclass(frozen=True)
class Service:
    """How a model is served. `delay` is in microseconds; None means no dynamic batching."""

    name: str
    platform: str
    max_batch: int
    instances: int
    kind: str
    preferred: tuple[int, ...] = ()
    delay: int | None = None


def problems(inputs: Sequence[ValueType], outputs: Sequence[ValueType], max_batch: int) -> list[Diagnostic]:
    """Why a server cannot serve or batch these inputs and outputs."""
    found = []
    for role, values in (("input", inputs), ("output", outputs)):
        for value in values:
            if value.shape is None:
                message = f"the {role} `{value.name}` has no declared number of dimensions, which Triton needs"
                found.append(Diagnostic(message, help=f"export the model with the {role}'s shape", code=Code.TRITON))
            elif _number(value) not in TRITON_TYPES:
                type_name = type_text(value.dtype)
                found.append(
                    Diagnostic(
                        f"Triton does not support the type {type_name} of the {role} `{value.name}`", code=Code.TRITON
                    )
                )
            elif max_batch > 0 and (not value.shape or isinstance(value.shape[0], int)):
                message = f"Triton batches along the first dimension, but that of the {role} {value} does not vary"
                found.append(
                    Diagnostic(
                        message, help="use max_batch=0 to serve the model with its fixed batch size", code=Code.TRITON
                    )
                )
    return found


def text(service: Service, inputs: Sequence[ValueType], outputs: Sequence[ValueType]) -> str:
    """The content of config.pbtxt. Raises CompileError for values that a server cannot serve."""
    if wrong := problems(inputs, outputs, service.max_batch):
        raise CompileError(*wrong)
    return "\n".join(_lines(service, inputs, outputs)) + "\n"


def _lines(service: Service, inputs: Sequence[ValueType], outputs: Sequence[ValueType]) -> Iterator[str]:
    yield f"name: {quoted(service.name)}"
    yield f"platform: {quoted(service.platform)}"
    yield f"max_batch_size: {service.max_batch}"
    for role, values in (("input", inputs), ("output", outputs)):
        for value in values:
            yield f"{role} {{"
            yield f"  name: {quoted(value.name)}"
            yield f"  data_type: {TRITON_TYPES[_number(value)]}"
            yield from (f"  {line}" for line in _dims(value, batched=service.max_batch > 0))
            yield "}"
    yield f"instance_group {{ count: {service.instances} kind: {KINDS[service.kind]} }}"
    if service.delay is not None:
        yield "dynamic_batching {"
        yield from (f"  preferred_batch_size: {each}" for each in service.preferred)
        yield f"  max_queue_delay_microseconds: {service.delay}"
        yield "}"


def _dims(value: ValueType, *, batched: bool) -> Iterator[str]:
    """The dimensions after the batch, -1 where they vary. Triton has no empty list: a scalar is a reshaped [1]."""
    shape = (value.shape or ())[1:] if batched else value.shape or ()
    sizes = [each if isinstance(each, int) and each >= 0 else -1 for each in shape]
    yield f"dims: [ {', '.join(str(each) for each in sizes or [1])} ]"
    if not sizes:
        yield "reshape { shape: [ ] }"


def quoted(name: str) -> str:
    """A name in protobuf's text format: ASCII, and everything else as the octal bytes of its UTF-8."""
    plain = {'"': '\\"', "\\": "\\\\"}
    return (
        '"'
        + "".join(plain.get(chr(byte), chr(byte)) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in name.encode())
        + '"'
    )


def _number(value: ValueType) -> int:
    return onnx_type(value.dtype)
