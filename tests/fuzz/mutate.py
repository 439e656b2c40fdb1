"""Damage to files, from a random number generator alone: the same seed damages in the same way."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import onnx

_WORD = re.compile(r"\s+|\w+|[^\w\s]")
_ODD_WORDS = (
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "..",
    "...",
    "%",
    "=>",
    "where",
    "let",
    "rule",
    "define",
    "repeat",
    "when",
    "use",
    "require",
    "minimize",
    "maximize",
    "target",
    "param",
    "data",
    "-1",
    "0",
    "99999999999999999999",
    "1e400",
    "50%",
    "4GiB",
    "2.5ms",
    "1..8..32",
    '"',
    '"\\x00"',
    "#",
    "\t",
    "\r\n",
    "\x00",
    "\ufeff",
    "ÿ",
    "_",
    "original",
    "else rollback",
    "Conv",
    "like",
)
_NUMBERS = (0, 1, -1, 2, 7, 127, 128, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, -(1 << 63))
_NAMES = ("", "x", "y", "w", "../../etc/passwd", "/etc/passwd", "\x1b[31m", "a" * 5000, "\u202e", "0", "model.onnx")
_OPERATORS = ("Conv", "Reshape", "If", "Loop", "Gemm", "Cast", "Slice", "Resize", "Pad", "Constant", "LSTM", "Einsum")


def damaged_bytes(content: bytes, random: Random) -> bytes:
    """Bytes flipped, cut, repeated, moved or inserted, a few times."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        at = random.randrange(len(data) + 1)
        kind = random.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        elif kind == 2:
            del data[at : at + random.choice((1, 2, 8, 64))]
        elif kind == 3:
            piece = data[at : at + random.choice((1, 4, 32, 256))]
            where = random.randrange(len(data) + 1)
            data[where:where] = piece
        elif kind == 4:
            data[at:at] = random.randbytes(random.choice((1, 2, 8)))
        else:
            del data[at:]
        if not data:
            break
    return bytes(data)


def damaged_recipe(text: str, others: list[str], random: Random) -> str:
    """Words of a recipe dropped, doubled, exchanged, or taken from other recipes and a list of odd ones."""
    words = _WORD.findall(text)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        if not words:
            break
        at = random.randrange(len(words))
        kind = random.randrange(6)
        if kind == 0:
            del words[at]
        elif kind == 1:
            words.insert(at, random.choice(_ODD_WORDS))
        elif kind == 2:
            words[at] = random.choice(_ODD_WORDS)
        elif kind == 3:
            where = random.randrange(len(words))
            words[at], words[where] = words[where], words[at]
        elif kind == 4:
            words[at:at] = words[at : at + random.randrange(1, 20)]
        else:
            found = _WORD.findall(random.choice(others))
            start = random.randrange(max(1, len(found)))
            words[at:at] = found[start : start + random.randrange(1, 30)]
    if random.random() < 0.02:
        words = [random.choice(("(", "[", "{x ", "a(", "-"))] * random.choice((100, 5000)) + words
    return "".join(words)


def damaged_model(model: onnx.ModelProto, random: Random) -> bytes:
    """Fields of a model set to what they should not be, as a program that means harm would."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for _ in range(random.choice((1, 1, 2, 5))):
        _damage(result, random)
    return result.SerializeToString()


def _damage(model: onnx.ModelProto, random: Random) -> None:
    graph = model.graph
    kind = random.randrange(12)
    if kind == 0 and graph.node:
        random.choice(graph.node).op_type = random.choice(_OPERATORS)
    elif kind == 1 and graph.node:
        node = random.choice(graph.node)
        names = random.choice((node.input, node.output))
        if names:
            names[random.randrange(len(names))] = random.choice((*_NAMES, *graph.node[0].output, *node.input))
    elif kind == 2 and graph.node:
        node = random.choice(graph.node)
        if node.attribute:
            _damage_attribute(random.choice(node.attribute), random)
    elif kind == 3 and graph.initializer:
        tensor = random.choice(graph.initializer)
        if tensor.dims and random.random() < 0.7:
            tensor.dims[random.randrange(len(tensor.dims))] = random.choice(_NUMBERS)
        else:
            tensor.dims.append(random.choice(_NUMBERS))
    elif kind == 4 and graph.initializer:
        random.choice(graph.initializer).data_type = random.choice((0, 1, 2, 6, 7, 8, 9, 10, 11, 16, 17, 21, 22, 99))
    elif kind == 5 and graph.initializer:
        tensor = random.choice(graph.initializer)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, text in (("location", random.choice(_NAMES)), ("offset", random.choice(("0", "-1", "x", "9" * 30)))):
            tensor.external_data.add(key=key, value=text)
    elif kind == 6 and graph.input:
        value = random.choice((*graph.input, *graph.output))
        dims = value.type.tensor_type.shape.dim
        if dims:
            random.choice(dims).dim_value = random.choice(_NUMBERS)
        value.type.tensor_type.elem_type = random.choice((0, 1, 1, 1, 7, 8, 11, 16))
    elif kind == 7 and len(graph.node) > 1:
        # A cycle, as often as not.
        first, second = random.sample(range(len(graph.node)), 2)
        if graph.node[first].input and graph.node[second].output:
            graph.node[first].input[0] = graph.node[second].output[0]
    elif kind == 8 and graph.node:
        graph.node.add().CopyFrom(random.choice(graph.node))
    elif kind == 9 and model.opset_import:
        model.opset_import[0].version = random.choice(_NUMBERS)
    elif kind == 10:
        model.ir_version = random.choice(_NUMBERS)
    elif graph.initializer:
        tensor = random.choice(graph.initializer)
        tensor.raw_data = tensor.raw_data[: random.randrange(len(tensor.raw_data) + 1)]


def _damage_attribute(attribute: onnx.AttributeProto, random: Random) -> None:
    kind = random.randrange(4)
    if kind == 0:
        attribute.type = random.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 11))
    elif kind == 1:
        attribute.i = random.choice(_NUMBERS)
    elif kind == 2 and attribute.ints:
        attribute.ints[random.randrange(len(attribute.ints))] = random.choice(_NUMBERS)
    else:
        attribute.ints.append(random.choice(_NUMBERS))


def damaged_json(content: str, random: Random) -> bytes:
    """A JSON text with a value exchanged somewhere inside, or damaged as bytes."""
    if random.random() < 0.3:
        return damaged_bytes(content.encode(), random)
    values = json.loads(content)
    place: Any = values
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = random.choice(keys)
        if isinstance(place[key], dict | list) and random.random() < 0.7:
            place = place[key]
            continue
        if random.random() < 0.2 and isinstance(place, dict):
            del place[key]
        else:
            place[key] = random.choice((None, True, -1, 1 << 70, 1e308, [], {}, [[]], *_NAMES))
        break
    return json.dumps(values).encode()
