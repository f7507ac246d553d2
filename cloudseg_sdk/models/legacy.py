"""Keras 2's HDF5 files of the notebook's network: ``model.save("nested_unet.h5")`` and ``save_weights``.

Only arrays and JSON are read: no pickle, no Lambda, nothing that a file could have run. Both kinds keep weights as
``{layer}/{weight}``, listed by the attributes ``layer_names`` and ``weight_names`` (Keras 2.15,
``keras/src/saving/legacy/hdf5_format.py``); the first kind keeps the architecture, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.errors import BundleError, ConfigError

Weights = dict[str, NDArray[np.floating[Any]]]

MAX_BYTES = 2 << 30  # of all arrays together; the notebook's own have 36 MB
_LAYERS = {"InputLayer", "Conv2D", "Conv2DTranspose", "MaxPooling2D", "Dropout", "Concatenate"}


def read_legacy(
    path: Path, classes: tuple[str, ...], input_size: tuple[int, int] | None
) -> tuple[ModelConfig, Weights]:
    """Read the configuration and the weights, by the path of their variable.

    Parameters
    ----------
    path
        The HDF5 file.
    classes
        Names of the classes, in the order of the output channels: the file has none.
    input_size
        (height, width); None for the file's own, or where it has weights alone, the notebook's.

    Raises
    ------
    BundleError
        Where the file cannot be read, or is not of the notebook's network; the message says what differs.
    """
    import h5py  # a dependency of Keras

    try:
        with h5py.File(path, "r") as file:
            weights = dict(_read_weights(file.get("model_weights", file)))
            text = file.attrs.get("model_config")
            layers = [] if text is None else json.loads(text)["config"]["layers"]
            architecture = {str(layer["config"]["name"]): layer for layer in layers}
    except OSError as error:
        raise BundleError(f"cannot read {path} as HDF5: {error}") from error
    except Exception as error:  # a damaged file makes h5py raise all sorts
        raise BundleError(f"{path} is no HDF5 file of Keras 2, or a damaged one: {error!r}") from error
    try:
        config = _config_of_weights(weights, classes)
        if architecture:
            config = _config_of_architecture(architecture, config)
        return replace(config, input_size=input_size or config.input_size), weights
    except (KeyError, IndexError, TypeError, ConfigError) as error:
        raise BundleError(f"{path} is not of the notebook's network: {error}") from error


def _read_weights(root: Any) -> Iterator[tuple[str, NDArray[np.floating[Any]]]]:
    import h5py

    left = MAX_BYTES
    for layer in _names(root, "layer_names"):
        for name in _names(root[layer], "weight_names"):
            dataset = root[layer][name]
            outside = not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual
            if outside or dataset.file != root.file or dataset.dtype.kind != "f":
                raise ValueError(f"{name} is not an array of floating-point numbers in this file")
            left -= dataset.nbytes
            if left < 0:
                raise ValueError(f"the arrays claim more than {MAX_BYTES:,} bytes")
            yield f"{layer}/{re.sub(':[0-9]+$', '', name.split('/')[-1])}", dataset[()]


def _names(group: Any, attribute: str) -> list[str]:
    """Return a list of names; Keras 2 cuts one that HDF5 finds too long into ``layer_names0``, ``layer_names1``, ..."""
    attributes = group.attrs
    parts = [attribute] if attribute in attributes else []
    while attribute not in attributes and f"{attribute}{len(parts)}" in attributes:
        parts.append(f"{attribute}{len(parts)}")
    if not parts:
        raise ValueError(f"{group.name} has no {attribute}")
    names = [name for part in parts for name in attributes[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _config_of_weights(weights: Mapping[str, NDArray[Any]], classes: tuple[str, ...]) -> ModelConfig:
    """Return what shapes say, and for the rest the notebook's settings."""
    levels = sum(bool(re.fullmatch("conv[0-9]1_1/kernel", path)) for path in weights)
    filters = [weights[f"conv{row}1_1/kernel"].shape[-1] for row in range(1, levels + 1)]
    heads = [path for path in weights if re.fullmatch("output_[0-9]/kernel", path)]
    if not heads or len(filters) < 2:
        raise ConfigError(
            f"it has the weights {list(weights)[:3]}, wanted conv11_1/kernel and so on, and output_4/kernel"
        )
    found = weights[heads[-1]].shape[-1]
    if found != len(classes):
        raise ConfigError(f"it has {found} classes, got the names {', '.join(classes)}")
    return replace(
        ModelConfig.notebook(deep_supervision=len(heads) > 1),
        classes=classes,
        channels=weights["conv11_1/kernel"].shape[2],
        filters=tuple(filters),
    )


def _config_of_architecture(layers: Mapping[str, Any], config: ModelConfig) -> ModelConfig:
    """Return `config` with what only the architecture says; raise where it says what the notebook's network has not."""
    others = sorted({layer["class_name"] for layer in layers.values()} - _LAYERS)
    if others:
        raise ConfigError(f"it has layers of the kinds {', '.join(others)}, wanted {', '.join(sorted(_LAYERS))}")
    ends = {layer["config"]["activation"] for name, layer in layers.items() if name.startswith("output_")}
    if ends != {"sigmoid"}:
        raise ConfigError(f"its heads end in {', '.join(sorted(map(str, ends)))}, wanted sigmoid")
    units = [layer["config"] for name, layer in layers.items() if name.startswith("conv")]
    activations = {unit["activation"] for unit in units}
    penalties = {_penalty(unit["kernel_regularizer"]) for unit in units}
    rates = {layer["config"]["rate"] for layer in layers.values() if layer["class_name"] == "Dropout"} or {0.0}
    for name, values in (("activations", activations), ("L2 penalties", penalties), ("dropout rates", rates)):
        if len(values) != 1:
            raise ConfigError(f"its convolutions have different {name}: {sorted(map(str, values))}")
    shape = next(layer["config"] for layer in layers.values() if layer["class_name"] == "InputLayer")
    height, width = (shape.get("batch_input_shape") or shape["batch_shape"])[1:3]
    size = (height, width) if height and width else config.input_size  # a network for any size says None
    return replace(config, input_size=size, activation=activations.pop(), l2=penalties.pop(), dropout=rates.pop())


def _penalty(regularizer: Any) -> float:
    """Return the weight of an L2 penalty, which Keras 2 writes rounded to float32."""
    if regularizer is None:
        return 0.0
    if regularizer["config"].get("l1"):
        raise ConfigError("it has an L1 penalty")
    return float(str(np.float32(regularizer["config"]["l2"])))
