"""What a network is made of, and how its class maps become masks: two frozen records that check themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from cloudseg_sdk.errors import ConfigError

CLOUD_CLASSES = ("Fish", "Flower", "Gravel", "Sugar")

Activation = Literal["elu", "relu", "swish"]
Encoder = Literal[
    "unetpp",
    "efficientnetlite0",
    "efficientnetv2b0",
    "mobilenetv2",
    "mobilenetv3large",
    "mobilenetv3small",
    "resnet50v2",
]
Normalization = Literal["none", "batch", "group"]
Scaling = Literal["unit", "standardize"]
Upsampling = Literal["transpose", "nearest"]
TTA = Literal["none", "flips"]

_MAX_PIXELS = 1 << 27  # as many as are decoded of an image

_CHOICES: dict[str, tuple[object, ...]] = {
    "encoder": get_args(Encoder),
    "channels": (1, 3),
    "scaling": ("unit", "standardize"),
    "activation": ("elu", "relu", "swish"),
    "normalization": ("none", "batch", "group"),
    "upsampling": ("transpose", "nearest"),
    "output_stride": (1, 2, 4),
    "deep_supervision": (False, True),
    "presence_head": (False, True),
}


@dataclass(frozen=True)
class ModelConfig:
    """The network: UNet++ with any number of levels, over its own encoder or a well-known one.

    The defaults are the preset to start from: colour images, batch normalization, which trains at a hundred times the
    learning rate that the notebook's plain network bears, and half-resolution output, which saves the most expensive
    row of nodes where labels are as coarse as cloud fields.

    Parameters
    ----------
    classes
        Names of the classes, in the order of the output channels. Classes may overlap: each has its own sigmoid.
    input_size
        (height, width) in pixels to which every image is stretched; each a multiple of ``2 ** (len(filters) - 1)``.
    encoder
        "unetpp" for two plain convolutions a level; or EfficientNet-Lite0 or a model of keras.applications, which have
        features at strides 2 to 32, and weights that were trained on ImageNet (see :meth:`Segmenter.build`).
    channels
        3 for RGB, 1 for grey (ITU-R BT.601 luma of the RGB image).
    scaling
        "unit" maps 0..255 to -1..1; "standardize" subtracts each image's mean and divides by its standard deviation.
    filters
        Convolution filters of each level, from the finest to the coarsest, at strides 1, 2, 4 and so on. Encoders other
        than "unetpp" have their own widths: these are of the decoder alone.
    activation, normalization, dropout, l2
        Of every convolution: dropout rate after it, weight of the L2 penalty on its kernel.
    upsampling
        "transpose": 2 x 2 transposed convolutions; "nearest": pixel repetition.
    output_stride
        The class maps have the input's size divided by this.
    deep_supervision
        Train a head on each nested U-Net; prediction uses the last, which sees them all.
    presence_head
        Also predict from the mean of the coarsest features whether each class is there at all; see :class:`Decision`.
        With all 6 levels of an encoder other than "unetpp" these are the ones that it has for its classifier.

    Raises
    ------
    ConfigError
        Where a value is outside its choices; the message gives got and wanted.

    Examples
    --------
    >>> ModelConfig(input_size=(128, 192)).output_size
    (64, 96)
    >>> ModelConfig.notebook().filters
    (32, 64, 128, 256, 512)
    """

    classes: tuple[str, ...] = CLOUD_CLASSES
    input_size: tuple[int, int] = (256, 384)
    encoder: Encoder = "unetpp"
    channels: int = 3
    scaling: Scaling = "unit"
    filters: tuple[int, ...] = (16, 32, 64, 128, 256)
    activation: Activation = "relu"
    normalization: Normalization = "batch"
    dropout: float = 0.0
    l2: float = 0.0
    upsampling: Upsampling = "nearest"
    output_stride: int = 2
    deep_supervision: bool = True
    presence_head: bool = False

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if type(value) is not type(allowed[0]) or value not in allowed:  # True and 1.0 equal 1
                raise ConfigError(f"{name} must be one of {list(allowed)}, got {value!r}")
        check_classes(self.classes)
        deepest = self.output_stride.bit_length()
        if not _are_positive(self.filters) or not max(2, deepest + 1) <= len(self.filters) <= 8:
            raise ConfigError(
                f"filters must be {max(2, deepest + 1)} to 8 positive whole numbers at output_stride "
                f"{self.output_stride}, got {self.filters!r}"
            )
        if self.encoder != "unetpp":
            self._check_pretrained()
        step = 2 ** (len(self.filters) - 1)
        if not _are_positive(self.input_size) or len(self.input_size) != 2 or any(n % step for n in self.input_size):
            raise ConfigError(
                f"input_size must be (height, width) in multiples of {step}, because {len(self.filters)} levels halve "
                f"it {len(self.filters) - 1} times; got {self.input_size!r}"
            )
        if self.input_size[0] * self.input_size[1] > _MAX_PIXELS:
            raise ConfigError(f"input_size must have at most {_MAX_PIXELS:,} pixels, got {self.input_size!r}")
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be at least 0 and below 1, got {self.dropout!r}")
        if not _is_number(self.l2) or not 0 <= self.l2 < float("inf"):
            raise ConfigError(f"l2 must be 0 or a positive number, got {self.l2!r}")

    def _check_pretrained(self) -> None:
        """Raise where an encoder with weights of its own is asked for what it has not."""
        for name, value in (("channels", 3), ("scaling", "unit")):
            if getattr(self, name) != value:
                raise ConfigError(
                    f"encoder {self.encoder!r} wants {name}={value!r}, which its weights were trained on; "
                    f"got {getattr(self, name)!r}"
                )
        if self.output_stride == 1 or len(self.filters) > 6:
            raise ConfigError(
                f"encoder {self.encoder!r} has features at strides 2 to 32: output_stride must be 2 or 4 and filters "
                f"at most 6, got {self.output_stride} and {len(self.filters)}"
            )

    @classmethod
    def notebook(cls, *, deep_supervision: bool = False) -> Self:
        """Return the notebook's ``Nest_Net``: grey 256 x 384 images, ELU, 9,041,700 parameters with one head."""
        return cls(
            channels=1,
            scaling="standardize",
            filters=(32, 64, 128, 256, 512),
            activation="elu",
            normalization="none",
            dropout=0.5,
            l2=1e-4,
            upsampling="transpose",
            output_stride=1,
            deep_supervision=deep_supervision,
        )

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) of the class maps."""
        return self.input_size[0] // self.output_stride, self.input_size[1] // self.output_stride

    @property
    def nested(self) -> int:
        """Number of nested U-Nets, each with its own head under deep supervision."""
        return len(self.filters) - self.output_stride.bit_length()

    def pruned(self, level: int) -> Self:
        """Return the network that ends at head `level`, from 1 to :attr:`nested`.

        It has no presence head, which stands on the coarsest features.
        """
        if type(level) is not int or not 1 <= level <= self.nested:
            raise ConfigError(f"level must be a whole number from 1 to {self.nested}, got {level!r}")
        if level == self.nested:
            return self
        if not self.deep_supervision:
            raise ConfigError(f"level must be {self.nested}: without deep supervision no other head was trained")
        return replace(self, filters=self.filters[: len(self.filters) - self.nested + level], presence_head=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return _jsonable(asdict(self))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild what :meth:`to_dict` gave; unknown or missing names are an error."""
        return cls(**_restored(cls, values))


@dataclass(frozen=True)
class Decision:
    """How the class maps of one image become masks: one value per class for each of three steps.

    Parameters
    ----------
    presence
        A class whose presence score is below this is left empty. The score is the mean of the highest 9.5% of the
        class's map; with a presence head, the mean of that and of what the head says.
    threshold
        A pixel is foreground where its probability is at least this.
    min_area
        8-connected components smaller than this fraction of the image's area are dropped.
    tta
        Test-time augmentation that the three belong to. "flips": maps and presence are the mean over the image as it is
        and mirrored across either axis and both; "none": those of the image alone.
    """

    presence: tuple[float, ...]
    threshold: tuple[float, ...]
    min_area: tuple[float, ...]
    tta: TTA = "none"

    def __post_init__(self) -> None:
        for name in ("presence", "threshold", "min_area"):
            values = getattr(self, name)
            valid = isinstance(values, tuple) and all(_is_number(value) and 0 <= value <= 1 for value in values)
            if not valid or not values or len(values) != len(self.presence):
                raise ConfigError(f"{name} must be a tuple of one number from 0 to 1 for each class, got {values!r}")
        check_tta(self.tta)

    @classmethod
    def plain(cls, classes: int) -> Self:
        """Return the decision of an uncalibrated model: 0.5 on pixels, and nothing else dropped."""
        return cls(presence=(0.0,) * classes, threshold=(0.5,) * classes, min_area=(0.0,) * classes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return _jsonable(asdict(self))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild what :meth:`to_dict` gave; unknown or missing names are an error."""
        return cls(**_restored(cls, values))


def _jsonable(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _restored(cls: type[ModelConfig] | type[Decision], values: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON held as arguments for `cls`."""
    wanted = {field.name for field in fields(cls)}
    if set(values) != wanted:
        raise ConfigError(
            f"{cls.__name__} wants the fields {sorted(wanted)}; "
            f"missing {sorted(wanted - set(values))}, unknown {sorted(set(values) - wanted)}"
        )
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def check_classes(classes: tuple[str, ...]) -> None:
    """Raise where `classes` is anything but a tuple of different names."""
    valid = isinstance(classes, tuple) and all(isinstance(name, str) and name for name in classes)
    if not valid or not classes or len(set(classes)) != len(classes):
        raise ConfigError(f"classes must be a tuple of different names, got {classes!r}")


def check_members(configs: Sequence[ModelConfig]) -> None:
    """Raise where networks have no common mean, because what goes in or comes out is not of one kind."""
    for number, config in enumerate(configs[1:], start=2):
        for name in ("classes", "input_size", "output_size", "presence_head"):
            first, other = getattr(configs[0], name), getattr(config, name)
            if first != other:
                raise ConfigError(
                    f"members of an ensemble must have the same {name}: member 1 has {first}, member {number} {other}"
                )


def check_seed(seed: int) -> None:
    """Raise where Keras has no such seed."""
    if type(seed) is not int or not 0 <= seed < 1 << 32:
        raise ConfigError(f"seed must be a whole number from 0 to {(1 << 32) - 1}, got {seed!r}")


def check_tta(tta: str) -> None:
    """Raise where `tta` is none of the test-time augmentations."""
    if tta not in get_args(TTA):
        raise ConfigError(f'tta must be "none" or "flips", got {tta!r}')


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_positive(values: tuple[int, ...]) -> bool:
    return isinstance(values, tuple) and all(type(n) is int and n > 0 for n in values)
