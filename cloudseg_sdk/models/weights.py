"""A network's weights as named arrays, and its ONNX graph."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.errors import BundleError
from cloudseg_sdk.models.serving import serving_parts


def get_weights(network: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Return every variable by its path, such as ``conv11_1/kernel``."""
    return {
        variable.path: keras.ops.convert_to_numpy(variable) for variable in network.variables if _is_saved(variable)
    }


def set_weights(network: keras.Model, weights: Mapping[str, NDArray[np.floating[Any]]]) -> None:
    """Give every variable its array; a missing, unknown or misshapen one is a :class:`BundleError`."""
    variables = {variable.path: variable for variable in network.variables if _is_saved(variable)}
    if set(variables) != set(weights):
        missing, unknown = sorted(set(variables) - set(weights)), sorted(set(weights) - set(variables))
        raise BundleError(f"the weights do not fit the configuration: missing {missing[:3]}, unknown {unknown[:3]}")
    for path, variable in variables.items():
        if tuple(variable.shape) != weights[path].shape:
            raise BundleError(f"weights: {path} has shape {weights[path].shape}, wanted {tuple(variable.shape)}")
        if weights[path].dtype.kind != "f":
            raise BundleError(f"weights: {path} holds {weights[path].dtype}, wanted floating-point numbers")
    for path, variable in variables.items():  # only now, so that a refused file leaves the network as it was
        variable.assign(weights[path].astype(np.float32))


def export(
    network: keras.Model, config: ModelConfig, dtype: Literal["float32", "float16"]
) -> tuple[dict[str, NDArray[np.float32]], bytes | None]:
    """Return the weights of `network`, and its serving graph with kernels as `dtype` where the backend can make one."""
    graph = to_onnx(network, config)
    return get_weights(network), halve_graph(graph) if graph is not None and dtype == "float16" else graph


def to_onnx(network: keras.Model, config: ModelConfig) -> bytes | None:
    """Export `network` from raw images to every output, with any batch size.

    The graph's outputs are ``maps_1``, ``maps_2`` and so on, the last of which predicts, and after them ``presence``.

    Returns
    -------
    bytes or None
        None where the backend's converter is not installed.
    """
    images, outputs = serving_parts(network, config)
    serving = keras.Model(images, outputs)
    signature = [keras.InputSpec(shape=(None, *config.input_size, 3), dtype="uint8", name="images")]
    numbers = range(1, config.nested + 1) if config.deep_supervision else [config.nested]
    names = [f"maps_{number}" for number in numbers] + ["presence"] * config.presence_head
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of how Keras and the converters trace and call each other
                serving.export(str(path), format="onnx", verbose=False, input_signature=signature)
            return _name_outputs(path.read_bytes(), names)
        except ImportError:  # tf2onnx, jax2onnx or onnx
            return None


def halve_graph(graph: bytes) -> bytes:
    """Store the kernels of an ONNX graph as float16, each followed by a cast, which engines fold away."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(graph)
    casts = []
    for constant in model.graph.initializer:
        array = numpy_helper.to_array(constant)
        if array.dtype == np.float32 and array.ndim > 1:
            name = constant.name
            constant.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}/float16"))
            casts.append(onnx.helper.make_node("Cast", [constant.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _name_outputs(graph: bytes, names: list[str]) -> bytes:
    """Rename the outputs of an ONNX graph, which converters number in their order but call what they like."""
    import onnx

    model = onnx.load_from_string(graph)
    renamed = {output.name: name for output, name in zip(model.graph.output, names, strict=True)}
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for output in model.graph.output:
        output.name = renamed[output.name]
    return bytes(model.SerializeToString())


def _is_saved(variable: Any) -> bool:
    return "seed_generator" not in variable.path  # the state of dropout is not part of a model
