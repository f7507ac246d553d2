"""Segmentation of satellite scenes with UNet++: build, train, calibrate, predict, save.

The public names are loaded when first used: importing this package imports no deep-learning framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cloudrle import __version__

if TYPE_CHECKING:
    from cloudseg_sdk.config import Decision, ModelConfig
    from cloudseg_sdk.data.augment import Augmentation
    from cloudseg_sdk.data.dataset import CloudDataset
    from cloudseg_sdk.errors import BundleError, CloudsegError, ConfigError, DataError, ImageError, MissingExtraError
    from cloudseg_sdk.inference.prediction import Prediction, Predictions
    from cloudseg_sdk.segmenter import Segmenter
    from cloudseg_sdk.training.config import TrainConfig

__all__ = [
    "Augmentation",
    "BundleError",
    "CloudDataset",
    "CloudsegError",
    "ConfigError",
    "DataError",
    "Decision",
    "ImageError",
    "MissingExtraError",
    "ModelConfig",
    "Prediction",
    "Predictions",
    "Segmenter",
    "TrainConfig",
    "__version__",
]

_HOMES = {
    "Augmentation": "cloudseg_sdk.data.augment",
    "BundleError": "cloudseg_sdk.errors",
    "CloudDataset": "cloudseg_sdk.data.dataset",
    "CloudsegError": "cloudseg_sdk.errors",
    "ConfigError": "cloudseg_sdk.errors",
    "DataError": "cloudseg_sdk.errors",
    "Decision": "cloudseg_sdk.config",
    "ImageError": "cloudseg_sdk.errors",
    "MissingExtraError": "cloudseg_sdk.errors",
    "ModelConfig": "cloudseg_sdk.config",
    "Prediction": "cloudseg_sdk.inference.prediction",
    "Predictions": "cloudseg_sdk.inference.prediction",
    "Segmenter": "cloudseg_sdk.segmenter",
    "TrainConfig": "cloudseg_sdk.training.config",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
