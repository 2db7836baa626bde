"""How much a protobuf file unfolds to, counted on its bytes before any parser builds objects from it."""

from collections.abc import Mapping

from ranvier.compiler.diagnostics import RanvierError, error

MAX_BYTES = 2**29
MAX_FIELDS = 600_000
MAX_DEPTH = 24

# (message, field number) -> the message inside; every other field is bytes or a number and unfolds to nothing.
MESSAGES: Mapping[tuple[str, int], str] = {
    ("Model", 7): "Graph",
    ("Model", 8): "Opset",
    ("Model", 14): "Entry",
    ("Graph", 1): "Node",
    ("Graph", 5): "Tensor",
    ("Graph", 11): "Value",
    ("Graph", 12): "Value",
    ("Graph", 13): "Value",
    ("Graph", 14): "Annotation",
    ("Graph", 16): "Entry",
    ("Annotation", 2): "Entry",
    ("Node", 5): "Attribute",
    ("Node", 9): "Entry",
    ("Attribute", 5): "Tensor",
    ("Attribute", 6): "Graph",
    ("Attribute", 10): "Tensor",
    ("Attribute", 11): "Graph",
    ("Tensor", 13): "Entry",
    ("Tensor", 16): "Entry",
    ("Value", 2): "Type",
    ("Value", 4): "Entry",
    ("Type", 1): "TensorType",
    ("TensorType", 2): "TensorShape",
    ("TensorShape", 1): "Dimension",
}
REFUSED: Mapping[tuple[str, int], str] = {
    ("Model", 20): "training information",
    ("Model", 25): "functions of its own",
    ("Graph", 15): "sparse initializers",
    ("Attribute", 14): "type attributes",
    ("Attribute", 15): "type attributes",
    ("Attribute", 22): "sparse tensors",
    ("Attribute", 23): "sparse tensors",
    ("Type", 4): "sequences",
    ("Type", 5): "maps",
    ("Type", 8): "sparse tensors",
    ("Type", 9): "optional values",
}


def check_size(data: bytes, place: str) -> None:
    """Walk the messages of an ONNX model in ``data`` without building any; RV280 where they do not fit the file.

    Every object that a parser makes costs at least one field on the wire, so the count of fields bounds its memory.
    """
    fields = 0
    stack = [("Model", 0, len(data), 0)]
    while stack:
        message, at, end, depth = stack.pop()
        while at < end:
            fields += 1
            number, wire, start, at = _field(data, at, end, place)
            if fields > MAX_FIELDS or depth > MAX_DEPTH:
                raise _refused(place, f"it holds more than {MAX_FIELDS} fields, or nests deeper than {MAX_DEPTH}")
            if (message, number) in REFUSED:
                raise _refused(place, f"it holds {REFUSED[message, number]}, which are not read")
            if wire == 2 and (message, number) in MESSAGES:
                stack.append((MESSAGES[message, number], start, at, depth + 1))


def _field(data: bytes, at: int, end: int, place: str) -> tuple[int, int, int, int]:
    """(field number, wire type, start of the content, end of the content) of the field at ``at``."""
    key, start = _varint(data, at, end, place)
    wire = key & 7
    if wire == 0:
        stop = _varint(data, start, end, place)[1]
    elif wire == 1:
        stop = start + 8
    elif wire == 5:
        stop = start + 4
    elif wire == 2:
        length, start = _varint(data, start, end, place)
        stop = start + length
    else:
        raise _refused(place, f"byte {at} starts no field of a protobuf message")
    if stop > end:
        raise _refused(place, f"the field at byte {at} ends at byte {stop}, its message at {end}")
    return key >> 3, wire, start, stop


def _varint(data: bytes, at: int, end: int, place: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _refused(place, f"a number at byte {at} does not end")


def _refused(place: str, why: str) -> RanvierError:
    return error("RV280", place, f"this is no ONNX file that can be read: {why}.", "Export the network again.")
