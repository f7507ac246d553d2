"""ONNX graphs that take their kernels from named weights, so that a file stores them once; and their outputs.

ONNX files are protocol buffers, of which one message after another reads as one message with the lists of both
(https://protobuf.dev/programming-guides/encoding/#last-one-wins). Weights are therefore filled in by appending them.
Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.errors import BundleError, MissingExtraError

Weights = Mapping[str, NDArray[np.floating[Any]]]
_Buffer: TypeAlias = bytes | memoryview

_MODEL_GRAPH, _GRAPH_INITIALIZER, _NODE_INPUT = 7, 5, 1
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_DATA = 1, 2, 8, 9
_FLOAT = 1
# The key under which a tensor names the file of its numbers: field 1 and length 8, in any spelling that parsers take.
_ELSEWHERE = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")


def check_alone(graph: bytes, name: str) -> None:
    """Refuse an ONNX graph whose numbers lie in other files: OpenVINO would read any file that it names."""
    if b"location" in graph and _ELSEWHERE.search(graph):  # the former takes no time
        raise BundleError(f"{name} keeps tensors in other files; wanted a graph that holds all of them itself")


def fill_graph(graph: bytes, weights: Weights) -> bytes:
    """Append the kernels that the nodes of an ONNX graph take by name, as float32.

    Parameters
    ----------
    graph
        ONNX bytes. A graph that names none of `weights` comes back as it is.
    weights
        float32 or float16, by the path of their variable. Kernels are those of more than one axis.
    """
    return b"".join([graph, *_initializers(graph, weights)])


def strip_graph(graph: bytes, weights: Weights) -> bytes:
    """Undo :func:`fill_graph` with the same weights; a graph that was not filled with them comes back as it is."""
    return graph.removesuffix(b"".join(_initializers(graph, weights)))


def choose_outputs(names: Sequence[Collection[str]], level: int | None) -> list[int]:
    """Return the numbers of the outputs to run: the head that predicts and, where there is one, presence.

    Parameters
    ----------
    names
        Of each output.
    level
        The head to end at; None for the last, with presence.
    """
    if level is None:
        return list(range(len(names)))[-2 if "presence" in names[-1] else -1 :]
    wanted = [number for number, own in enumerate(names) if f"maps_{level}" in own]
    if not wanted:
        raise BundleError(
            f"the model's graph has no head of level {level}, because an earlier release wrote it; load it with the "
            "keras engine and save it again"
        )
    return wanted


def keep_outputs(graph: bytes, level: int | None, texts: Mapping[str, str] | None = None) -> bytes:
    """Leave away what the outputs of :func:`choose_outputs` do not need, and add `texts` (needs the extra ``onnx``)."""
    try:
        import onnx.utils
    except ImportError as error:
        raise MissingExtraError(f"cutting an ONNX graph needs the package onnx ({error})", "onnx") from error
    model = onnx.load_from_string(graph)
    names = [output.name for output in model.graph.output]
    chosen = [names[number] for number in choose_outputs([{name} for name in names], level)]
    inputs = [one.name for one in model.graph.input]
    cut = onnx.utils.Extractor(model).extract_model(inputs, chosen)
    onnx.helper.set_model_props(cut, dict(texts or {}))
    return bytes(cut.SerializeToString())


def _initializers(graph: bytes, weights: Weights) -> list[_Buffer]:
    kernels = {name: array for name, array in weights.items() if array.ndim > 1}
    named = {name: array for name, array in kernels.items() if _text(_NODE_INPUT, name.encode()) in graph}
    tensors = [part for name, array in named.items() for part in _nested(_GRAPH_INITIALIZER, _tensor(name, array))]
    return _nested(_MODEL_GRAPH, tensors) if named else []


def _tensor(name: str, array: NDArray[np.floating[Any]]) -> list[_Buffer]:
    dims = b"".join(_number(_TENSOR_DIMS, length) for length in array.shape)
    about = dims + _number(_TENSOR_TYPE, _FLOAT) + _text(_TENSOR_NAME, name.encode())
    return [about, *_nested(_TENSOR_DATA, [np.ascontiguousarray(array, "<f4").reshape(-1).view(np.uint8).data])]


def _nested(field: int, parts: Sequence[_Buffer]) -> list[_Buffer]:
    """Return the parts of a field that holds `parts`, which are not copied: a network has tens of megabytes."""
    return [_varint(field << 3 | 2) + _varint(sum(map(len, parts))), *parts]


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
