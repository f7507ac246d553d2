"""Configurations check themselves: every value that no network or decision can have is refused in plain words."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from cloudseg_sdk import CloudsegError, ConfigError, Decision, ModelConfig

NAMES = "classes must be a tuple of different names, got "
FILTERS = "filters must be 3 to 8 positive whole numbers at output_stride 2, got "
SIZE = "input_size must be (height, width) in multiples of 16, because 5 levels halve it 4 times; got "
DROPOUT = "dropout must be at least 0 and below 1, got "
L2 = "l2 must be 0 or a positive number, got "


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *(("channels", value, f"channels must be one of [1, 3], got {value!r}") for value in (0, 2, 4, True, 3.0, "3")),
        ("channels", None, "channels must be one of [1, 3], got None"),
        ("channels", np.array([1, 3]), "channels must be one of [1, 3], got array([1, 3])"),
        ("scaling", "zscore", "scaling must be one of ['unit', 'standardize'], got 'zscore'"),
        ("scaling", ["unit"], "scaling must be one of ['unit', 'standardize'], got ['unit']"),
        ("activation", "gelu", "activation must be one of ['elu', 'relu', 'swish'], got 'gelu'"),
        ("normalization", None, "normalization must be one of ['none', 'batch', 'group'], got None"),
        ("upsampling", "bilinear", "upsampling must be one of ['transpose', 'nearest'], got 'bilinear'"),
        *(
            ("output_stride", value, f"output_stride must be one of [1, 2, 4], got {value!r}")
            for value in (0, 3, 8, -1, 2.0, True, "2")
        ),
        *(
            ("deep_supervision", value, f"deep_supervision must be one of [False, True], got {value!r}")
            for value in (1, 0, None, "yes")
        ),
        ("presence_head", 1, "presence_head must be one of [False, True], got 1"),
        *(
            ("classes", value, f"{NAMES}{value!r}")
            for value in ((), ("a", "a"), ("a", ""), ("a", 1), ["a", "b"], "ab", None, ("a", None))
        ),
        *(
            ("filters", value, f"{FILTERS}{value!r}")
            for value in ((), (8, 8), (8,) * 9, (8, 8, 0), (8, 8, -8), (8, 8, 8.0), (8, 8, True), [8, 8, 8], 8, None)
        ),
        *(
            ("input_size", value, f"{SIZE}{value!r}")
            for value in ((250, 384), (256, 383), (0, 384), (-256, 384), (256,), (256, 384, 3), (256.0, 384.0))
        ),
        *(("input_size", value, f"{SIZE}{value!r}") for value in ([256, 384], 256, "ab", None, (True, 384))),
        *(
            ("dropout", value, f"{DROPOUT}{value!r}")
            for value in (-0.1, 1, 1.5, math.nan, math.inf, "0.5", None, False)
        ),
        *(("l2", value, f"{L2}{value!r}") for value in (-1e-9, math.nan, math.inf, "0", None, True)),
    ],
)
def test_a_value_that_no_network_can_have(name: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelConfig(**{name: value})
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("stride", "filters", "words"),
    [
        (1, (8,), "filters must be 2 to 8 positive whole numbers at output_stride 1, got (8,)"),
        (2, (8, 8), "filters must be 3 to 8 positive whole numbers at output_stride 2, got (8, 8)"),
        (4, (8, 8, 8), "filters must be 4 to 8 positive whole numbers at output_stride 4, got (8, 8, 8)"),
    ],
)
def test_too_few_levels_for_the_stride(stride: int, filters: tuple[int, ...], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelConfig(output_stride=stride, filters=filters)
    assert str(caught.value) == words
    assert ModelConfig(output_stride=stride, filters=(*filters, 8)).filters == (*filters, 8)


def test_a_config_error_is_a_value_error_and_one_of_the_sdk() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(ConfigError, CloudsegError)


@pytest.mark.parametrize(
    ("stride", "size"), [(1, (64, 96)), (2, (32, 48)), (4, (16, 24))], ids=["full", "half", "quarter"]
)
def test_the_maps_have_the_input_size_over_the_stride(stride: int, size: tuple[int, int]) -> None:
    assert ModelConfig(input_size=(64, 96), output_stride=stride).output_size == size


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(),
        ModelConfig.notebook(),
        ModelConfig.notebook(deep_supervision=True),
        ModelConfig(classes=("ünï", "b_c"), input_size=(32, 48), filters=(1, 2, 3), dropout=0, l2=1),
    ],
)
def test_a_config_survives_json(config: ModelConfig) -> None:
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert hash(ModelConfig.from_dict(config.to_dict())) == hash(config)


def test_records_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig().channels = 1  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Decision.plain(1).threshold = (0.1,)  # type: ignore[misc]


def test_unknown_and_missing_fields_are_named() -> None:
    values = ModelConfig().to_dict()
    del values["dropout"], values["l2"]
    values["depth"] = 3
    with pytest.raises(
        ConfigError, match=r"^ModelConfig wants the fields \[.*\]; missing \['dropout', 'l2'\], "
    ) as caught:
        ModelConfig.from_dict(values)
    assert str(caught.value).endswith("unknown ['depth']")
    with pytest.raises(ConfigError) as caught:
        Decision.from_dict({"presence": [0.5]})
    assert str(caught.value) == (
        "Decision wants the fields ['min_area', 'presence', 'threshold', 'tta']; "
        "missing ['min_area', 'threshold', 'tta'], unknown []"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("presence", "threshold", "min_area")
            for value in ((), (0.5, -0.1), (0.5, 1.1), (0.5, math.nan), (0.5, "0.5"), (0.5, None), (0.5, True))
        ),
        *((name, value) for name in ("threshold", "min_area") for value in ((0.5,), (0.5, 0.5, 0.5))),
    ],
)
def test_a_value_that_no_decision_can_have(name: str, value: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        Decision.from_dict({**Decision.plain(2).to_dict(), name: list(value)})
    assert str(caught.value) == f"{name} must be a tuple of one number from 0 to 1 for each class, got {value!r}"


@pytest.mark.parametrize("value", [[0.5, 0.5], 0.5, "ab", None, np.array([0.5, 0.5])])
def test_a_decision_holds_tuples_only(value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Decision(presence=(0.0, 0.0), threshold=value, min_area=(0.0, 0.0))
    assert str(caught.value) == f"threshold must be a tuple of one number from 0 to 1 for each class, got {value!r}"


def test_the_plain_decision_drops_nothing() -> None:
    assert Decision.plain(2) == Decision(presence=(0.0, 0.0), threshold=(0.5, 0.5), min_area=(0.0, 0.0))
    assert Decision.from_dict(json.loads(json.dumps(Decision.plain(3).to_dict()))) == Decision.plain(3)
