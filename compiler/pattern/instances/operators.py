"""How to fill in a node so that its operator accepts it: shapes of free inputs, and attributes of every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from vggc.pattern.instances.blanks import Blank, Misfit

Fill = Callable[[Blank], None]

_BOOLEAN = frozenset({"And", "Or", "Xor", "Not"})


def fill(blank: Blank) -> None:
    """Decide everything that is free about a node. Raises Misfit when what is given does not allow it."""
    FILLS.get(blank.op, _elementwise if len(blank) > 1 else _alone)(blank)


def _alone(b: Blank) -> None:
    if b.op in _BOOLEAN and b.is_free(0):
        b.put(0, b.draw.shape(), "bool")
    b.primary()
    schema = b.sets.schema(("", b.op))
    for name, attribute in {} if schema is None else schema.attributes.items():
        if attribute.type == onnx.defs.OpSchema.AttrType.FLOAT and b.draw.chance(0.6):
            b.set(name, b.draw.number())


def _elementwise(b: Blank) -> None:
    """Inputs that broadcast."""
    free = [at for at in range(len(b)) if b.is_free(at)]
    known = [shape for at in range(len(b)) if (shape := b.shape(at)) is not None]
    dtype = np.dtype(np.bool_) if b.op in _BOOLEAN else b.first_type()
    if not known:
        first = free.pop(b.draw.whole(0, len(free) - 1)) if b.draw.chance(0.5) else free.pop(0)
        known = [b.draw.shape()]
        b.put(first, known[0], dtype)
    for at in free:
        b.put(at, b.draw.beside(max(known, key=len)), dtype, "positive" if b.op in ("Div", "Pow") and at else "any")


def _where(b: Blank) -> None:
    shape = b.shape(1) or b.shape(2) or b.shape(0) or b.draw.shape()
    b.put(0, b.draw.beside(shape), "bool")
    dtype = b.dtype(1) or b.dtype(2) or b.draw.float
    b.put(1, shape, dtype)
    b.put(2, b.draw.beside(shape), dtype)


def _clip(b: Blank) -> None:
    b.primary()
    low, high = sorted((b.draw.array((), b.first_type()).item(), b.draw.array((), b.first_type()).item()))
    if "min" in b.fixed or "max" in b.fixed or b.sets.opset < 11:
        b.set("min", float(low))
        b.set("max", float(high))
    b.put(1, (), fill=f"value:{low}", constant=b.draw.chance(0.8))
    b.put(2, (), fill=f"value:{high}", constant=b.draw.chance(0.8))


def _axis(b: Blank) -> None:
    shape = b.primary(least=1)
    b.set("axis", b.draw.whole(-len(shape), len(shape) - 1))


def _cast(b: Blank) -> None:
    b.primary()
    b.set("to", b.draw.one_of((1, 10, 11, 6, 7), (0.35, 0.25, 0.15, 0.1, 0.15)))


# --- weighted operators ---------------------------------------------------------------------------------------


def _window(b: Blank, axes: int, kernel: list[int]) -> None:
    """Strides, dilations and pads, most of them plain."""
    plain = b.draw.chance(0.35)
    b.set("kernel_shape", kernel)
    if plain:
        if b.draw.chance(0.4):
            b.set("pads", [(size - 1) // 2 for size in kernel] * 2)
        return
    b.set("strides", [b.draw.whole(1, 2) for _ in range(axes)])
    if b.op != "AveragePool":
        b.set("dilations", [b.draw.whole(1, 2) if b.draw.chance(0.3) else 1 for _ in range(axes)])
    if b.draw.chance(0.15) and "pads" not in b.fixed:
        b.set("auto_pad", b.draw.one_of(("SAME_UPPER", "SAME_LOWER", "VALID")))
    elif b.given("auto_pad", "NOTSET") == "NOTSET":
        b.set("pads", [b.draw.whole(0, max(0, min(1, size - 1))) for size in kernel * 2])


def _check_window(b: Blank, image: Sequence[int], kernel: Sequence[int]) -> None:
    """Raise Misfit for a window that is larger than what it slides over: runtimes disagree about those."""
    axes = len(kernel)
    if b.given("auto_pad", "NOTSET") != "NOTSET":
        return
    pads, dilations = b.given("pads", [0] * (2 * axes)), b.given("dilations", [1] * axes)
    if len(pads) != 2 * axes or len(dilations) != axes:
        raise Misfit
    for at, size in enumerate(image[2:]):
        if size + pads[at] + pads[at + axes] < (kernel[at] - 1) * dilations[at] + 1:
            raise Misfit


def _image(b: Blank, index: int = 0) -> tuple[int, ...]:
    """The shape of an image-like input; a weight that is known decides its rank and channels."""
    weight = b.shape(1)
    rank = len(weight) if weight is not None else b.draw.one_of((3, 4, 5), (0.2, 0.7, 0.1))
    if b.is_free(index):
        shape = list(b.draw.shape(rank))
        shape[2:] = [max(each, b.draw.whole(4, 7)) for each in shape[2:]]
        if weight is not None:
            shape[1] = weight[1] if b.op == "Conv" else weight[0]
        b.put(index, tuple(shape))
        b.draw.remember(tuple(shape))
    found = b.shape(index)
    if found is None or len(found) < 3:
        raise Misfit
    return found


def _conv(b: Blank) -> None:
    x = _image(b)
    weight = b.shape(1)
    transposed = b.op == "ConvTranspose"
    if weight is None:
        divisors = [each for each in range(1, x[1] + 1) if x[1] % each == 0]
        group = b.set("group", 1 if b.draw.chance(0.6) else b.draw.one_of(divisors)) or 1
        if x[1] % group:
            raise Misfit
        out = x[1] if b.draw.chance(0.4) else group * b.draw.whole(1, 4)
        if out % group:
            raise Misfit
        kernel = [1] * (len(x) - 2) if b.draw.chance(0.3) else [b.draw.whole(1, 3) for _ in x[2:]]
        kernel = list(b.given("kernel_shape", kernel))
        weight = (x[1], out // group, *kernel) if transposed else (out, x[1] // group, *kernel)
        b.put(1, weight, fill="weights", constant=b.draw.chance(0.9))
    else:
        b.set("group", 1 if transposed else x[1] // weight[1])
        out = weight[1] if transposed else weight[0]
        kernel = list(weight[2:])
    _window(b, len(x) - 2, kernel)
    if not transposed:
        _check_window(b, x, kernel)
    if transposed and b.draw.chance(0.3):
        b.set("output_padding", [b.draw.whole(0, min(1, each - 1)) for each in b.given("strides", [1] * len(kernel))])
    b.put(2, (out,), fill="weights", constant=b.draw.chance(0.9))


def _gemm(b: Blank) -> None:
    trans_a, trans_b = (b.set(name, int(b.draw.chance(0.3))) or 0 for name in ("transA", "transB"))
    b.set("alpha", b.draw.one_of((1.0, 0.5, 2.0), (0.7, 0.15, 0.15)))
    b.set("beta", b.draw.one_of((1.0, 0.5, 2.0), (0.7, 0.15, 0.15)))
    second = b.shape(1)
    if b.is_free(0):
        x = list(b.draw.shape(2))
        if second is not None and len(second) == 2:
            x[0 if trans_a else 1] = second[1 if trans_b else 0]
        b.put(0, tuple(x))
    left = b.primary(rank=2)
    rows, inner = (left[1], left[0]) if trans_a else left
    columns = b.draw.size()
    b.put(1, (columns, inner) if trans_b else (inner, columns), fill="weights", constant=b.draw.chance(0.85))
    right = b.shape(1)
    if right is None or len(right) != 2 or right[1 if trans_b else 0] != inner:
        raise Misfit
    columns = right[0 if trans_b else 1]
    b.put(2, b.draw.one_of(((), (1,), (columns,), (1, columns), (rows, columns))), constant=b.draw.chance(0.85))


def _matmul(b: Blank) -> None:
    first, second = b.shape(0), b.shape(1)
    if () in (first, second):
        raise Misfit
    if first is None and second is None:
        b.put(0, b.draw.shape(max(1, b.draw.rank)))
        first = b.shape(0)
    if first is not None and b.is_free(1):
        columns = () if b.draw.chance(0.05) else (b.draw.size(),)
        batch = first[:-2] if b.draw.chance(0.3) else ()
        b.put(1, (*batch, first[-1], *columns), fill="weights", constant=b.draw.chance(0.7))
    elif second is not None and b.is_free(0):
        inner = second[-2] if len(second) > 1 else second[0]
        b.put(0, (*b.draw.shape(max(1, b.draw.rank))[:-1], inner))


def _batch_norm(b: Blank) -> None:
    x = b.primary(least=2)
    b.set("epsilon", b.draw.one_of((1e-5, 1e-3, 0.1)))
    for at, kind in ((1, "weights"), (2, "weights"), (3, "weights"), (4, "positive")):
        b.put(at, (x[1],), fill=kind, constant=b.draw.chance(0.95))


def _normalization(b: Blank) -> None:
    """Instance, layer, group and RMS normalization: scale and bias of the shape that each wants."""
    x = b.primary(least=3 if b.op in ("InstanceNormalization", "GroupNormalization") else 1)
    b.set("epsilon", b.draw.one_of((1e-5, 1e-3)))
    if b.op in ("LayerNormalization", "RMSNormalization"):
        axis = b.set("axis", b.draw.one_of((-1, -1, len(x) - 1, 0)))
        shape = x[-1 if axis is None else axis :]
    else:
        shape = (x[1],)
        if b.op == "GroupNormalization":
            groups = b.set("num_groups", b.draw.one_of([each for each in range(1, x[1] + 1) if x[1] % each == 0]))
            shape = (x[1] if b.sets.opset >= 21 else groups,)
    for at in range(1, len(b)):
        b.put(at, shape, fill="weights", constant=b.draw.chance(0.9))


def _pool(b: Blank) -> None:
    x = _image(b)
    if b.op.startswith("Global"):
        return
    kernel = list(b.given("kernel_shape", [b.draw.whole(1, 3) for _ in x[2:]]))
    _window(b, len(x) - 2, kernel)
    _check_window(b, x, kernel)
    b.set("ceil_mode", int(b.draw.chance(0.15)))
    if b.op == "AveragePool":
        b.set("count_include_pad", int(b.draw.chance(0.3)))


def _quantize(b: Blank) -> None:
    dequantize = b.op == "DequantizeLinear"
    if b.is_free(0):
        kind = np.dtype(np.int8) if dequantize else b.draw.float
        b.put(0, b.draw.shape(), kind, "small" if dequantize else "any")
    b.put(1, (), "float32", "positive", constant=True)
    b.put(2, (), "int8", "equal", constant=True)


FILLS: dict[str, Fill] = {
    "Where": _where,
    "Clip": _clip,
    "Cast": _cast,
    "Softmax": _axis,
    "LogSoftmax": _axis,
    "Hardmax": _axis,
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _normalization,
    "LayerNormalization": _normalization,
    "GroupNormalization": _normalization,
    "RMSNormalization": _normalization,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _pool,
    "GlobalAveragePool": _pool,
    "GlobalMaxPool": _pool,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _quantize,
}
