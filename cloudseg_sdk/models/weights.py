"""A network's weights as named arrays, and its ONNX graph."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.errors import BundleError
from cloudseg_sdk.graph import fill_graph
from cloudseg_sdk.models.serving import serving_parts
from cloudseg_sdk.models.unetpp import build_network

# Orders of axes in ONNX: of a dense kernel, a convolution's (output and input channels first), a depthwise one's.
_LAYOUTS = {2: ((0, 1), (1, 0)), 4: ((3, 2, 0, 1), (2, 3, 0, 1))}


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


def check_widths(config: ModelConfig, weights: Mapping[str, NDArray[np.floating[Any]]]) -> None:
    """Refuse weights of other widths before a network of the configuration's is built, which may take any memory."""
    own = config.encoder == "unetpp"
    first = 1 if own else config.output_stride.bit_length()
    for row, width in enumerate(config.filters[first - 1 : None if own else -1], start=first):
        path = f"conv{row}{1 if own else 2}_2/kernel"
        if path not in weights:
            raise BundleError(f"the weights do not fit the configuration: missing {[path]}, unknown []")
        if weights[path].shape != (3, 3, width, width):
            raise BundleError(f"weights: {path} has shape {weights[path].shape}, wanted {(3, 3, width, width)}")


def copy_network(network: keras.Model, config: ModelConfig, policy: str) -> keras.Model:
    """Build `network` again with its weights, under another dtype policy such as "mixed_bfloat16"."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        copy = build_network(config)
    finally:
        keras.config.set_dtype_policy(before)
    set_weights(copy, get_weights(network))
    return copy


def has_gpu() -> bool:
    """Say whether Keras' backend sees a GPU."""
    if keras.backend.backend() == "torch":
        import torch

        return bool(torch.cuda.is_available())
    return any("gpu" in name.lower() or "cuda" in name.lower() for name in keras.distribution.list_devices())


def to_onnx(network: keras.Model, config: ModelConfig) -> bytes | None:
    """Export `network` from raw images to every output, with any batch size.

    The graph's outputs are ``maps_1``, ``maps_2`` and so on, the last of which predicts, and after them ``presence``.
    Its kernels have the names of their variables (see :mod:`cloudseg_sdk.graph`).

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
            graph = _name_outputs(path.read_bytes(), names)
        except ImportError:  # tf2onnx, jax2onnx or onnx
            return None
    weights = get_weights(network)
    return fill_graph(name_kernels(graph, weights), weights)


def name_kernels(graph: bytes, weights: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Replace the constants of an ONNX graph that are kernels by nodes that make them of the kernels' names.

    A converter brings kernels to ONNX's order of axes, and multiplies each output channel by the scale of the batch
    normalization that follows; so do the nodes. Engines run them once, when they compile. A constant that is no kernel,
    to a millionth of its largest value, stays.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(graph)
    kernels = {name: kernel for name, kernel in weights.items() if kernel.ndim > 1}
    constants, nodes = [], []
    for constant in model.graph.initializer:
        found = _find_kernel(numpy_helper.to_array(constant), kernels)
        if found is None:
            constants.append(constant)
            continue
        name, axes, scale = found
        moved, factor = f"{constant.name}/moved", f"{constant.name}/scale"
        constants.append(numpy_helper.from_array(scale, factor))
        nodes.append(onnx.helper.make_node("Transpose", [name], [moved], perm=axes))
        nodes.append(onnx.helper.make_node("Mul", [moved, factor], [constant.name]))
    nodes.extend(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(constants)
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _find_kernel(
    constant: NDArray[Any], kernels: Mapping[str, NDArray[np.float32]]
) -> tuple[str, tuple[int, ...], NDArray[np.float32]] | None:
    """Return the kernel's name, the order of its axes, and the scale of each output channel, that make `constant`."""
    if constant.dtype != np.float32 or constant.ndim < 2:
        return None
    within = tuple(range(1, constant.ndim))  # an output channel
    tolerance = 1e-6 * np.abs(constant).max()
    for name, kernel in kernels.items():
        for axes in _LAYOUTS.get(kernel.ndim, ()):
            moved = kernel.transpose(axes)
            if moved.shape != constant.shape:
                continue
            power = np.sum(np.square(moved, dtype=np.float64), within, keepdims=True)
            product = np.sum(np.multiply(moved, constant, dtype=np.float64), within, keepdims=True)
            scale = np.divide(product, power, out=np.ones_like(power), where=power > 0).astype(np.float32)
            if np.abs(moved * scale - constant).max() <= tolerance:
                return name, axes, scale
    return None


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
