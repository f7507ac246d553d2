"""What ``cloudseg doctor`` finds out about an installation."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata

import cloudrle

_PACKAGES = (
    "cloudseg-sdk",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "openvino",
    "onnxruntime",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "tf2onnx",
    "matplotlib",
)


@dataclass(frozen=True)
class Findings:
    """Facts to print, and faults to warn of."""

    facts: list[tuple[str, str]]
    faults: list[str]


def installed_version(package: str) -> str | None:
    """Return the version of an installed distribution, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def examine() -> Findings:
    """Look at versions, engines, Keras' backend and its devices. Imports Keras and OpenVINO where they are there."""
    facts = [("Python", f"{platform.python_version()} on {platform.platform()}")]
    facts += [(package, installed_version(package) or "not installed") for package in _PACKAGES]
    facts.append(("SIMD level", cloudrle.simd_level()))
    faults = []
    engines = []

    from cloudseg_sdk.inference.engines import has_bfloat16, import_onnxruntime, import_openvino

    try:
        core = import_openvino().Core()
        engines.append("openvino")
        facts.append(("OpenVINO devices", ", ".join(core.available_devices)))
        facts.append(("OpenVINO precisions", "float32, bfloat16" if has_bfloat16(core) else "float32"))
    except (ImportError, RuntimeError) as error:
        faults.append(f"the openvino engine does not work: {error}")
    try:
        facts.append(("ONNX Runtime providers", ", ".join(import_onnxruntime().get_available_providers())))
        engines.append("onnxruntime")
    except ImportError:  # an extra
        pass
    try:
        import keras

        engines.append("keras")
        backend = keras.backend.backend()
        devices = [] if backend == "torch" else keras.distribution.list_devices()  # Keras has no list of torch's
        facts.append(("Keras backend", backend))
        facts.append(("Keras devices", ", ".join(devices) or "none listed"))
    except ImportError as error:
        facts.append(("Keras backend", f'none ({error}); to train: pip install "cloudseg-sdk[tensorflow]"'))
    facts.append(("engines", ", ".join(engines) or "none"))
    if installed_version("opencv-python"):
        faults.append(
            "opencv-python and opencv-python-headless are both installed and overwrite each other's files; "
            "pip uninstall both, then install one"
        )
    return Findings(facts, faults)
