"""Models for other programs: ONNX, OpenVINO and SavedModel. The first two can be loaded again.

All take uint8 RGB images ``(N, *input_size, 3)``, stretched to that size, any number at once, and give float32 class
maps ``(N, *output_size, classes)`` in [0, 1], and presence ``(N, classes)`` where the network has that head. Scaling is
in the graph; thresholds are not: what makes masks of maps goes with it as JSON under ``cloudseg``.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cloudrle._files import atomic_path
from cloudseg_sdk.bundle import Bundle
from cloudseg_sdk.config import Decision, ModelConfig
from cloudseg_sdk.errors import BundleError, CloudsegError, ConfigError, naming
from cloudseg_sdk.graph import check_alone, keep_outputs
from cloudseg_sdk.inference.engines import OpenVINOEngine, Output, import_openvino, read_openvino
from cloudseg_sdk.network import Network
from cloudseg_sdk.parity import TOLERANCE, distance, probe_images

ExportFormat = Literal["onnx", "openvino", "saved_model"]
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "saved_model": ""}

_KEY = "cloudseg"
_VERSION = 1  # of the text


def export_network(path: Path, network: Network, about: Bundle, format: ExportFormat) -> float:  # noqa: A002
    """Write `network` to `path`, whole or not at all, and return how far its outputs are from what they should be.

    Parameters
    ----------
    path
        ``.onnx``, ``.xml`` (a ``.bin`` is written beside it), or for "saved_model" a new folder.
    network
        What to export; "saved_model" needs Keras on a backend that can make one.
    about
        What goes with it: decision, metrics and provenance.

    Raises
    ------
    ConfigError
        Where format and path do not go together.
    CloudsegError
        Where the exported graph's outputs are further than `TOLERANCE` from the network's.
    """
    if format not in get_args(ExportFormat):
        raise ConfigError(f"format must be one of {', '.join(get_args(ExportFormat))}, got {format!r}")
    if path.suffix != SUFFIXES[format]:
        wanted = f"a file *{SUFFIXES[format]}" if SUFFIXES[format] else "a folder, without a suffix"
        raise ConfigError(f"{format} is written to {wanted}, got {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write = {"onnx": _write_onnx, "openvino": _write_openvino, "saved_model": _write_saved_model}[format]
    return write(path, network, about)


def read_exported(path: Path) -> Bundle:
    """Read what :func:`export_network` wrote as ONNX or OpenVINO; weights for Keras it has none."""
    try:
        graph = path.read_bytes()
        data = path.with_suffix(".bin").read_bytes() if path.suffix == SUFFIXES["openvino"] else b""
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}: {error.filename}") from error
    check_alone(graph, str(path))
    with naming(path):
        info = read_openvino(graph, data).get_rt_info()
    if "framework" in info:  # where OpenVINO puts ONNX's texts
        info = info["framework"]
    if _KEY not in info:
        raise BundleError(f"{path} was not exported by cloudseg-sdk: it says nothing of classes and thresholds")
    try:
        about = json.loads(info[_KEY] if isinstance(info[_KEY], str) else info[_KEY].astype(str))
        if about["version"] != _VERSION:
            raise BundleError(f"{path} has export version {about['version']!r}; this release reads {_VERSION}")
        config, decision = ModelConfig.from_dict(about["config"]), Decision.from_dict(about["decision"])
        metrics, provenance = dict(about["metrics"]), dict(about["provenance"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path}: its text {_KEY!r} is damaged: {error}") from error
    if len(decision.presence) != len(config.classes):
        raise BundleError(f"{path}: {len(config.classes)} classes, but a decision for {len(decision.presence)}")
    return Bundle(config, decision, {}, graph, metrics, provenance, graph_data=data)


def _describe(network: Network, about: Bundle) -> str:
    description = {
        "version": _VERSION,
        "config": replace(network.config, deep_supervision=False).to_dict(),  # one head is left
        "decision": about.decision.to_dict(),
        "metrics": about.metrics,
        "provenance": about.provenance,
    }
    return json.dumps(description)


def _write_onnx(path: Path, network: Network, about: Bundle) -> float:
    graph, level = network.graph()
    cut = keep_outputs(graph, level, {_KEY: _describe(network, about)})
    found = _check(network, OpenVINOEngine(cut).run(_probe(network)))
    with atomic_path(path) as temporary:
        temporary.write_bytes(cut)
    return found


def _write_openvino(path: Path, network: Network, about: Bundle) -> float:
    graph, level = network.graph()
    model = read_openvino(graph, b"", level)
    model.set_rt_info(_describe(network, about), [_KEY])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        temporary = Path(folder) / path.name
        import_openvino().save_model(model, str(temporary), compress_to_fp16=False)
        data = temporary.with_suffix(".bin")
        found = _check(network, OpenVINOEngine(temporary.read_bytes(), data=data.read_bytes()).run(_probe(network)))
        data.replace(path.with_suffix(".bin"))
        temporary.replace(path)
    return found


def _write_saved_model(path: Path, network: Network, about: Bundle) -> float:
    if path.exists():
        raise ConfigError(f"{path} is there already; give a new folder")
    model = network.model
    from cloudseg_sdk.models.serving import serving_model

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        temporary = Path(folder) / path.name
        try:
            serving_model(model, network.config).export(str(temporary), format="tf_saved_model", verbose=False)
            import tensorflow
        except (ImportError, NotImplementedError) as error:
            raise CloudsegError(f"this Keras backend cannot write a SavedModel ({error}); TensorFlow can") from error
        loaded = tensorflow.saved_model.load(str(temporary))
        outputs = loaded.serve(_probe(network))
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        found = _check(network, Output(*(np.asarray(array) for array in outputs)))
        (temporary / f"{_KEY}.json").write_text(_describe(network, about), encoding="utf-8")
        temporary.replace(path)
    return found


def _probe(network: Network) -> NDArray[np.uint8]:
    return probe_images(network.config)


def _check(network: Network, exported: Output) -> float:
    found = distance(exported, network.run_exactly(_probe(network)))
    if found > TOLERANCE:
        raise CloudsegError(
            f"the exported graph's maps differ from the network's by up to {found:.2g}, more than {TOLERANCE:g}; "
            "nothing was written"
        )
    return found
