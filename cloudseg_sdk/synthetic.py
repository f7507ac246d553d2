"""Invented satellite scenes with labelled cloud patterns, for demos, tests and tutorials where no real data is at hand.

Every cloud is a field of optical thickness: a drawn or random structure plus fractal noise, cut off at zero. The fields
of a scene add up and veil the ocean. All lengths are pixels of the full 1400 x 2100 scene, whatever size is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import cloudrle
from cloudseg_sdk.config import CLOUD_CLASSES
from cloudseg_sdk.errors import ConfigError

CLASSES = CLOUD_CLASSES
HEIGHT, WIDTH = 1400, 2100
_SMALLEST = 16
_SKETCH = 4  # structures are drawn at a quarter of the full scene, at every size alike
_SKETCH_SHAPE = (HEIGHT // _SKETCH, WIDTH // _SKETCH)
_WHITE, _HAZE, _GLINT = np.array([(234, 235, 236), (62, 66, 78), (124, 125, 127)], np.float32)
_Y, _X = np.mgrid[: _SKETCH_SHAPE[0], : _SKETCH_SHAPE[1]].astype(np.float32)

_Field = NDArray[np.float32]
_Box = tuple[float, float, float, float]  # x0, y0, x1, y1


@dataclass(frozen=True)
class Scene:
    """An image and its labels.

    Attributes
    ----------
    image
        (H, W, 3) RGB of uint8.
    masks
        (H, W, 4) of 0 or 1 as uint8, the last axis in the order of `CLASSES`.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.uint8]


def _resize(field: _Field, shape: tuple[int, ...]) -> _Field:
    interpolation = cv2.INTER_AREA if field.shape[0] > shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(field, (shape[1], shape[0]), interpolation=interpolation), np.float32)


class _Sky:
    """The working grid of one scene, its generator, and the noise on both."""

    def __init__(self, seed: int, shape: tuple[int, int]) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = shape
        self.wind = self.rng.normal(0, 0.35)
        # The finest grain, shared by all clouds of the scene.
        self.dust = self.stream(self.noise(14, finest=1, stretch=1.7, roughness=0.9), self.wind, 35)

    def grow(self, field: _Field) -> _Field:
        """Bring a field of any resolution to the working grid."""
        return _resize(field, self.shape)

    def noise(
        self, length: float, *, finest: float = 3, stretch: float = 1, roughness: float = 0.65, sketch: bool = False
    ) -> _Field:
        """Fractal noise of about unit variance, from `length` down to `finest`, drawn out `stretch` times along x."""
        # Each field has its own generator: a small grid leaves out the octaves it cannot show, all else stays equal.
        (rng,) = self.rng.spawn(1)
        octaves = max(1, round(math.log2(length / finest)))
        # Interpolating takes the 1.3 away.
        scale = 1.3 / math.sqrt(sum(roughness ** (2 * octave) for octave in range(octaves)))
        field = np.zeros((1, 1), np.float32)
        for octave in range(octaves):
            cell = length / 2**octave
            rows, columns = max(2, round(HEIGHT / cell)), max(2, round(WIDTH / (cell * stretch)))
            if octave and rows > self.shape[0]:
                break
            field = np.asarray(cv2.resize(field, (columns, rows), interpolation=cv2.INTER_CUBIC), np.float32)
            field += scale * roughness**octave * rng.standard_normal((rows, columns), np.float32)
        return _resize(field, _SKETCH_SHAPE) if sketch else self.grow(field)

    def stream(self, field: _Field, angle: float, bend: float = 110) -> _Field:
        """Turn a field by `angle` and bend it along smooth random curves."""
        height, width = _SKETCH_SHAPE
        x, y = _X - width / 2, _Y - height / 2
        dx, dy = (bend / _SKETCH * self.noise(600, finest=300, sketch=True) for _ in range(2))
        zoom, cosine, sine = field.shape[0] / height, math.cos(angle), math.sin(angle)
        u = _resize(zoom * (cosine * x + sine * y + width / 2 + dx), field.shape)
        v = _resize(zoom * (cosine * y - sine * x + height / 2 + dy), field.shape)
        return np.asarray(cv2.remap(field, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32)


def scene(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH), *, swath_gap: bool | None = None) -> Scene:
    """Invent the scene of a seed: the same clouds and labels at every size.

    Parameters
    ----------
    seed
        Not negative; each gives another scene.
    size
        (height, width) in pixels, from 16 x 16 to 1400 x 2100.
    swath_gap
        Whether a black gap between two satellite swaths crosses the scene; None leaves it to the seed.

    Returns
    -------
    Scene
        With one to four classes, each the union of one to three rectangles around its pattern.

    Raises
    ------
    ConfigError
        Where the seed or the size is outside those bounds.

    Examples
    --------
    >>> small = scene(seed=7, size=(128, 192))
    >>> small.image.shape, small.masks.shape
    ((128, 192, 3), (128, 192, 4))
    """
    if seed < 0:
        raise ConfigError(f"seed: got {seed}, wanted 0 or more")
    height, width = size
    if not (_SMALLEST <= height <= HEIGHT and _SMALLEST <= width <= WIDTH):
        wanted = f"{_SMALLEST} x {_SMALLEST} to {HEIGHT} x {WIDTH}"
        raise ConfigError(f"size (height, width): got {height} x {width}, wanted {wanted}")

    reduction = next(r for r in (4, 2, 1) if r == 1 or max(height / HEIGHT, width / WIDTH) * r <= 0.5)
    sky = _Sky(seed, (HEIGHT // reduction, WIDTH // reduction))
    rng = sky.rng
    labels = _labels(rng)
    track, chance = _track(rng), rng.random()

    thickness = _clutter(sky)
    for label, boxes in labels.items():
        thickness += _PATTERNS[label](sky, boxes)
    image = _veil(_ocean(sky, track), thickness)
    if chance < 0.45 if swath_gap is None else swath_gap:
        cv2.fillPoly(image, [_scaled(track, sky.shape)], (0, 0, 0))
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return Scene(np.asarray(resized, np.uint8), _masks(labels, size))


def write_dataset(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (350, 525),
    label_shape: tuple[int, int] = (HEIGHT, WIDTH),
) -> None:
    """Write invented scenes in the layout of the 2019 competition.

    Parameters
    ----------
    folder
        Gets ``train_images/*.jpg`` and ``train.csv``, whose ``EncodedPixels`` are empty where a class is absent.
    count
        Number of images.
    seed
        The images are the scenes of this seed and those after it.
    size, label_shape
        (height, width) of the images and of the grid that the run lengths count on.
    """
    images = folder / "train_images"
    images.mkdir(parents=True, exist_ok=True)
    rows = ["Image_Label,EncodedPixels"]
    for number in range(seed, seed + count):
        drawn = scene(number, size)
        name = f"{number:07x}.jpg"
        _, jpeg = cv2.imencode(".jpg", drawn.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        (images / name).write_bytes(jpeg.tobytes())
        for index, label in enumerate(CLASSES):
            mask = cloudrle.resize(np.ascontiguousarray(drawn.masks[..., index]), label_shape, interpolation="nearest")
            rows.append(f"{name}_{label},{cloudrle.encode(mask)}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _labels(rng: np.random.Generator) -> dict[str, list[_Box]]:
    """Draw one to four classes and their rectangles, as often and as large as people drew them."""
    count = rng.choice([1, 2, 3, 4], p=[0.25, 0.42, 0.28, 0.05])
    taken: list[_Box] = []
    labels: dict[str, list[_Box]] = {}
    for label in sorted(rng.choice(CLASSES, count, replace=False, p=[0.23, 0.2, 0.25, 0.32])):
        boxes = [_place(rng, taken) for _ in range(rng.choice([1, 2, 3], p=[0.66, 0.29, 0.05]))]
        labels[str(label)] = boxes
        taken += boxes
    return labels


def _place(rng: np.random.Generator, taken: Sequence[_Box]) -> _Box:
    """Draw a rectangle where it hides least of the others: patterns overlap, but not for the most part."""
    width, height = np.clip(rng.normal((870, 700), (330, 260)), 350, (1800, 1250))
    places = [(x, y, x + width, y + height) for x, y in rng.uniform((0, 0), (WIDTH - width, HEIGHT - height), (10, 2))]
    return min(places, key=lambda box: sum(_overlap(box, other) for other in taken))


def _overlap(a: _Box, b: _Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _scaled(points: NDArray[np.float64] | Sequence[float], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Bring (x, y) pairs of the full scene to pixels of a grid."""
    pairs = np.reshape(points, (-1, 2))
    return np.round(pairs * (shape[1] / WIDTH, shape[0] / HEIGHT)).astype(np.int32)


def _masks(labels: dict[str, list[_Box]], size: tuple[int, int]) -> NDArray[np.uint8]:
    masks = np.zeros((*size, len(CLASSES)), np.uint8)
    for label, boxes in labels.items():
        for box in boxes:
            (x0, y0), (x1, y1) = _scaled(box, size)
            masks[y0:y1, x0:x1, CLASSES.index(label)] = 1
    return masks


def _window(boxes: Sequence[_Box]) -> _Field:
    """Draw the rectangles with soft edges, on the sketch."""
    inside = np.zeros(_SKETCH_SHAPE, np.uint8)
    for box in boxes:
        (x0, y0), (x1, y1) = _scaled(box, inside.shape)
        inside[y0:y1, x0:x1] = 255
    return _soft(inside, 11)


def _scatter(rng: np.random.Generator, spacing: float) -> NDArray[np.float64]:
    """Scatter (y, x) points over the sketch at about equal spacing."""
    height, width = _SKETCH_SHAPE
    grid = np.mgrid[-1 : height / spacing, -1 : width / spacing].reshape(2, -1).T
    grid[:, 1] += 0.5 * (grid[:, 0] % 2)  # staggered rows: a square grid would show
    points = (grid + rng.uniform(0.15, 0.85, grid.shape)) * spacing
    return points[((points >= 0) & (points < (height, width))).all(axis=1)]


def _sugar(sky: _Sky, boxes: Sequence[_Box]) -> _Field:
    """Dust of tiny clouds, gathered in thin feathery veins."""
    angle = sky.wind + sky.rng.normal(0, 0.5)
    veins = sky.stream(np.abs(sky.noise(44, finest=8, stretch=2.5, roughness=0.5)), angle)
    grains = 0.35 * sky.noise(8, finest=1, roughness=0.9) + 0.3 * sky.dust
    held = grains + 0.3 * sky.noise(320, finest=40) - 1.1 * veins + 1.5 * sky.grow(_window(boxes)) - 1.2
    return 0.8 * _positive(held)


def _gravel(sky: _Sky, boxes: Sequence[_Box]) -> _Field:
    """Small bright grains, on the rims of open cells and along the arcs of gust fronts."""
    rng = sky.rng
    spacing = rng.uniform(11, 17)
    centres = np.ones(_SKETCH_SHAPE, np.uint8)
    centres[tuple(_scatter(rng, spacing).astype(np.intp).T)] = 0
    distance = cv2.distanceTransform(centres, cv2.DIST_L2, 5)
    arcs = np.zeros(_SKETCH_SHAPE, np.uint8)
    for y, x in rng.uniform(0, _SKETCH_SHAPE, (30, 2)):
        radius, start = rng.uniform(20, 60), rng.uniform(0, 360)
        axes = (round(radius), round(radius * rng.uniform(0.5, 1)))
        cv2.ellipse(arcs, (round(x), round(y)), axes, 0, start, start + rng.uniform(80, 200), 255, 3, cv2.LINE_AA)
    rims = sky.stream(np.minimum(1.5 * distance / spacing, 1.2) + 1.5 * _soft(arcs, 2.5), sky.wind, 40)
    grains = sky.noise(24, finest=2, roughness=0.75)
    held = (
        sky.grow(rims + 1.6 * _window(boxes))
        + 0.42 * grains
        + 0.35 * sky.dust
        + 0.25 * sky.noise(320, finest=80)
        - 2.75
    )
    return 2.2 * _positive(held)


def _flower(sky: _Sky, boxes: Sequence[_Box]) -> _Field:
    """Large ragged discs of stratiform cloud, evenly spaced, with dark ocean between."""
    rng = sky.rng
    window, spacing = _window(boxes), rng.uniform(50, 85)
    discs = np.full(_SKETCH_SHAPE, -2, np.float32)
    for y, x in _scatter(rng, spacing):
        radius, squeeze = spacing * rng.uniform(0.26, 0.52), rng.uniform(0.7, 1.3)
        if window[int(y), int(x)] + rng.uniform(-0.2, 0.3) > 0.5:
            top, left = max(0, int(y - 3 * radius)), max(0, int(x - 3 * radius))
            part = discs[top : int(y + 3 * radius), left : int(x + 3 * radius)]
            v, u = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
            np.maximum(part, 1 - np.hypot((v - y) * squeeze, (u - x) / squeeze) / radius, out=part)
    puffs = sky.noise(150, finest=2, stretch=1.3, roughness=0.77)
    held = sky.grow(sky.stream(discs, sky.wind, 60)) + 0.42 * puffs + 0.25 * sky.dust - 0.1
    return 1.9 * _positive(held)


def _fish(sky: _Sky, boxes: Sequence[_Box]) -> _Field:
    """Bright spines with ribs, like the bones of a fish, and clear sky beside them."""
    rng = sky.rng
    spines, ribs = np.zeros((2, *_SKETCH_SHAPE), np.uint8)
    for x0, y0, x1, y1 in np.asarray(boxes) / _SKETCH:
        slope = rng.normal(0, 0.3)
        for y in np.arange(y0 + 25, y1, rng.uniform(48, 70)):
            along = np.linspace(0, 1, 1 + int((x1 - x0) / 7))
            bend = slope * (along - 0.5) * (x1 - x0) + rng.normal(0, 18) * 4 * along * (1 - along)
            spine = np.stack([x0 + along * (x1 - x0), y + bend], axis=1)
            cv2.polylines(spines, [np.round(spine).astype(np.int32)], False, 255, 6, cv2.LINE_AA)
            for root, reach in zip(spine, 34 * np.sin(np.pi * along) * rng.uniform(0.3, 1.2, len(along)), strict=True):
                for side in (-1, 1):
                    tip = root + reach * np.array([0.9, side])
                    cv2.line(ribs, np.round(root).astype(int), np.round(tip).astype(int), 255, 1, cv2.LINE_AA)
    bones = 1.6 * _soft(spines, 5) + 2.2 * _soft(ribs, 1.6)
    clumps = sky.noise(240, finest=2, stretch=1.4, roughness=0.77)
    held = sky.grow(sky.stream(bones, 0, 60) + 0.9 * _window(boxes)) + 0.42 * clumps + 0.35 * sky.dust - 1.75
    return 1.9 * _positive(held)


def _positive(field: NDArray[np.floating]) -> _Field:
    return np.asarray(np.maximum(field, 0), np.float32)


def _soft(drawn: NDArray[np.uint8], sigma: float) -> _Field:
    side = 2 * round(6**0.5 * sigma) + 1  # a tent of this width has that deviation, and costs a tenth of a Gaussian
    return cv2.stackBlur(drawn, (side, side)).astype(np.float32) / np.float32(255)


_PATTERNS: dict[str, Callable[[_Sky, Sequence[_Box]], _Field]] = {
    "Fish": _fish,
    "Flower": _flower,
    "Gravel": _gravel,
    "Sugar": _sugar,
}


def _clutter(sky: _Sky) -> _Field:
    """Clouds that no label covers: cirrus, thin dust everywhere and stray cumulus."""
    rng = sky.rng
    cirrus = sky.stream(sky.noise(480, finest=4, stretch=4, roughness=0.7), rng.uniform(-0.9, 0.9), 60)
    cirrus += 0.8 * sky.noise(900, finest=200)
    veil = rng.uniform(0.1, 0.5) * _positive(cirrus - 1.2)
    patches = sky.noise(340, finest=8)
    dust = 0.5 * _positive(sky.dust + 0.8 * patches - 1.85)
    mist = 0.06 * _positive(0.8 * sky.dust + patches + 0.2)  # water is hardly ever quite clear
    cumulus = sky.noise(500, finest=2, stretch=1.3, roughness=0.77) + 0.3 * sky.dust
    return np.asarray(veil + dust + mist + 1.8 * _positive(cumulus - 2.2), np.float32)


def _track(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the corners of the gap between two swaths: a slanted, slightly tapering band."""
    middle, slant = rng.uniform(0, WIDTH), rng.choice([-1, 1]) * rng.uniform(0.17, 0.25)
    top, bottom = rng.uniform(90, 140, 2)
    drift = slant * HEIGHT / 2
    upper, lower = middle + drift, middle - drift
    return np.array([(upper - top, 0), (upper + top, 0), (lower + bottom, HEIGHT), (lower - bottom, HEIGHT)])


def _ocean(sky: _Sky, track: NDArray[np.float64]) -> _Field:
    """Paint dark water, haze towards the edges of the swaths, and the sun's glint along their middle."""
    rng = sky.rng
    top, bottom = float(track[:2, 0].mean()), float(track[2:, 0].mean())
    away = np.abs(_SKETCH * _X - top - (bottom - top) * _Y / _SKETCH_SHAPE[0])
    haze = 0.1 + 0.35 * np.exp(-((away / 380) ** 2)) + 0.15 * sky.noise(800, finest=50, sketch=True)
    shine, breadth = max(0.0, rng.uniform(-0.3, 1)), rng.uniform(150, 300)
    glint = shine * np.exp(-(((away - 900) / breadth) ** 2))
    blue = rng.uniform(0, 9) + 4 * sky.noise(700, finest=200, sketch=True)
    water = np.stack([np.full_like(blue, 7), 12 + 0.4 * blue, 31 + blue], axis=-1)
    for share, light in ((haze, _HAZE), (glint, _GLINT)):
        water += np.clip(share, 0, 1)[..., None] * (light - water)
    return sky.grow(water)


def _veil(ocean: _Field, thickness: _Field) -> NDArray[np.uint8]:
    """Lay white cloud over the ocean: light fades exponentially with thickness."""
    clear = np.asarray(cv2.exp(-thickness), np.float32)[..., None]
    return np.asarray(_WHITE + (ocean - _WHITE) * clear, np.uint8)
