"""What nodes can ask of an operator that its function here does not compute."""

from __future__ import annotations

from collections.abc import Callable

from vggc.recovery.operators.call import Call

_UNSUPPORTED: dict[str, tuple[Callable[[Call], bool], str]] = {
    "ArgMax": (lambda call: bool(call.get("select_last_index", 0)), "the last index of several"),
    "ArgMin": (lambda call: bool(call.get("select_last_index", 0)), "the last index of several"),
    "AveragePool": (lambda call: any(each != 1 for each in call.get("dilations", ())), "dilations"),
    "BatchNormalization": (lambda call: bool(call.get("training_mode", 0)) or call.outputs > 1, "training mode"),
    "CastLike": (lambda call: call.types[1] is None, "a type that is not known"),
    "LayerNormalization": (lambda call: call.outputs > 1, "the mean as an output"),
    "MaxPool": (lambda call: call.outputs > 1, "the indices as an output"),
    "QuantizeLinear": (
        lambda call: bool(call.get("output_dtype", 0) or call.get("precision", 0)),
        "a type that an attribute names",
    ),
    "Resize": (
        lambda call: (
            bool(call.get("antialias", 0)) or call.get("coordinate_transformation_mode") == "tf_crop_and_resize"
        ),
        "antialiasing or a region",
    ),
}


def unsupported(op: str, call: Call) -> str | None:
    """What a node asks for that the function of its operator does not compute; None when it computes all of it."""
    asked, what = _UNSUPPORTED.get(op, (None, None))
    return what if asked is not None and asked(call) else None
