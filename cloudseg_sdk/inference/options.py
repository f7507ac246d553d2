"""What one call of prediction asks for: as a user says it, and checked and resolved."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np

from cloudseg_sdk.config import TTA, Decision, ModelConfig
from cloudseg_sdk.errors import ConfigError
from cloudseg_sdk.inference.engines import Engine
from cloudseg_sdk.inference.windows import Windows

OnError: TypeAlias = Literal["record", "raise"]
PerClass: TypeAlias = float | Sequence[float] | Mapping[str, float]

BATCH_PIXELS = 2**21
"""Most pixels of a batch whose size nobody chose. The notebook's network keeps 640 bytes for each: five maps of 32
channels in float32, at the full size."""


class PredictOptions(TypedDict, total=False):
    """Options of :meth:`cloudseg_sdk.Segmenter.predict`, where they are described."""

    output_size: tuple[int, int] | None
    batch_size: int | Literal["auto"]
    on_error: OnError
    tta: TTA | None
    presence: PerClass | None
    threshold: PerClass | None
    min_area: PerClass | None
    probabilities: bool
    window: tuple[int, int] | None
    overlap: float


@dataclass(frozen=True)
class Options:
    """The same, checked, with what the model says wherever the user says nothing.

    Parameters
    ----------
    decision
        How class maps become masks, and test-time augmentation.
    batch_size
        Images, or windows, that the engine runs at once.
    output_size
        (height, width) of the masks; None for each image's own size.
    on_error
        "record": an unreadable image becomes a prediction with an error; "raise": it ends the call.
    probabilities
        Whether predictions keep the class maps.
    windows
        How to cover an image; None to stretch it whole.
    """

    decision: Decision
    batch_size: int
    output_size: tuple[int, int] | None = None
    on_error: OnError = "record"
    probabilities: bool = False
    windows: Windows | None = None


def choose_options(given: PredictOptions, config: ModelConfig, decision: Decision, engine: Engine) -> Options:
    """Check what a user asks for, and fill in the rest from a model."""
    for name in given.keys() - PredictOptions.__annotations__.keys():
        near = difflib.get_close_matches(name, PredictOptions.__annotations__, n=1)
        raise TypeError(f"no option {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    options = Options(
        decision=_decide(given, config, decision),
        batch_size=_batch_size(given.get("batch_size", "auto"), config, engine),
        output_size=_size("output_size", given.get("output_size")),
        on_error=given.get("on_error", "record"),
        probabilities=given.get("probabilities", False),
        windows=_windows(given),
    )
    if options.on_error not in ("record", "raise"):
        raise ValueError(f'on_error must be "record" or "raise", got {options.on_error!r}')
    if not isinstance(options.probabilities, bool):
        raise ValueError(f"probabilities must be True or False, got {options.probabilities!r}")
    return options


def _decide(given: PredictOptions, config: ModelConfig, decision: Decision) -> Decision:
    tta = given.get("tta")
    return replace(
        decision,
        presence=_per_class("presence", given.get("presence"), config.classes, decision.presence),
        threshold=_per_class("threshold", given.get("threshold"), config.classes, decision.threshold),
        min_area=_per_class("min_area", given.get("min_area"), config.classes, decision.min_area),
        tta=decision.tta if tta is None else tta,
    )


def _per_class(
    name: str, given: PerClass | None, classes: tuple[str, ...], stored: tuple[float, ...]
) -> tuple[float, ...]:
    """Return one number for each class; :class:`Decision` checks the numbers."""
    if given is None:
        return stored
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in classes]
        if unknown:
            raise ConfigError(f"{name} names the class {unknown[0]!r}; this model has {', '.join(classes)}")
        return tuple(_as_python(given.get(key, value)) for key, value in zip(classes, stored, strict=True))
    given = _as_python(given)
    if isinstance(given, int | float):
        return (given,) * len(classes)
    if isinstance(given, str) or not hasattr(given, "__len__") or len(given) != len(classes):
        raise ConfigError(
            f"{name} must be one number, one for each of {', '.join(classes)}, or a mapping by class, got {given!r}"
        )
    return tuple(map(_as_python, given))


def _as_python(value: Any) -> Any:
    """Return an array, or a scalar of NumPy, as Python's numbers: NumPy's float32 is no float."""
    return np.asarray(value).tolist() if hasattr(value, "__array__") else value


def _batch_size(given: int | Literal["auto"], config: ModelConfig, engine: Engine) -> int:
    if given == "auto":
        return max(1, min(engine.batch_size, BATCH_PIXELS // math.prod(config.input_size)))
    if type(given) is not int or given < 1:
        raise ValueError(f'batch_size must be a whole number of at least 1 or "auto", got {given!r}')
    return given


def _size(name: str, given: tuple[int, int] | None) -> tuple[int, int] | None:
    valid = isinstance(given, tuple) and len(given) == 2 and all(type(n) is int and n > 0 for n in given)
    if given is not None and not valid:
        raise ValueError(f"{name} must be (height, width) of positive whole numbers or None, got {given!r}")
    return given


def _windows(given: PredictOptions) -> Windows | None:
    size = _size("window", given.get("window"))
    if size is None:
        if "overlap" in given:
            raise ValueError("overlap is of windows; give window=(height, width) too")
        return None
    overlap = _as_python(given.get("overlap", 0.25))
    if isinstance(overlap, bool) or not isinstance(overlap, int | float) or not 0 <= overlap < 1:
        raise ValueError(f"overlap must be a number from 0 to below 1, got {overlap!r}")
    return Windows(size, overlap)
