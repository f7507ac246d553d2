"""Slow, obvious definitions of what cloudrle computes: the specification that its tests compare with."""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[Any]
Shape = tuple[int, int]
RunList = list[tuple[int, int]]
Indices = Sequence[int] | npt.NDArray[np.int64]
Pixels = Callable[[Indices, Indices], npt.NDArray[np.int64]]  # 0 or 1 for each pixel in these rows and columns


def runs(mask: Mask) -> RunList:
    """Half-open runs of the pixels taken column by column."""
    found: RunList = []
    for i, value in enumerate((mask != 0).T.ravel().tolist()):
        if value and found and found[-1][1] == i:
            found[-1] = (found[-1][0], i + 1)
        elif value:
            found.append((i, i + 1))
    return found


def paint(run_list: RunList, shape: Shape) -> Mask:
    flat = np.zeros(shape[0] * shape[1], np.uint8)
    for start, end in run_list:
        flat[start:end] = 1
    return np.ascontiguousarray(flat.reshape(shape[1], shape[0]).T)


def encode(mask: Mask) -> str:
    return " ".join(f"{start + 1} {end - start}" for start, end in runs(mask))


def decode(text: str, shape: Shape) -> Mask:
    numbers = [int(word) for word in text.split()]
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return paint([(start - 1, start - 1 + length) for start, length in pairs], shape)


def counts(mask: Mask) -> list[int]:
    ends = [position for run in runs(mask) for position in run]
    lengths: list[int] = np.diff([0, *ends, mask.size]).tolist()
    return lengths[:-1] if len(lengths) > 1 and lengths[-1] == 0 else lengths


def coco_string(count_list: list[int]) -> str:
    text = ""
    for i, count in enumerate(count_list):
        number, more = count - (count_list[i - 2] if i > 2 else 0), True
        while more:
            bits, number = number & 31, number >> 5
            more = number != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
    return text


def label_studio(mask: Mask) -> list[int]:
    """Bits as brush.py of label-studio-converter writes them, for the four channels of 0 and 255."""
    values = np.repeat((mask != 0).ravel() * 255, 4).tolist()
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    for value, group in itertools.groupby(values):
        length = len(list(group))
        while length > 0:
            part = min(length, 2**16)
            index = next(i for i, width in enumerate((3, 4, 8, 16)) if part <= 2**width)
            bits += f"1{index:02b}{part - 1:0{(3, 4, 8, 16)[index]}b}{value:08b}"
            length -= part
    bits += "0" * (8 - len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def cvat(mask: Mask) -> list[int]:
    """Counts along the rows of the box, and the box, as cvat_sdk.masks.encode_mask writes them."""
    y, x = np.nonzero(mask)
    top, left, bottom, right = (y.min(), x.min(), y.max(), x.max()) if len(y) else (0, 0, 0, 0)
    box = mask[top : bottom + 1, left : right + 1]
    return [*counts(box.T), int(left), int(top), int(right), int(bottom)]


def in_dialect(mask: Mask, dialect: str) -> Any:
    """A mask in one of the dialects that cloudrle.dialects defines."""
    down, along = runs(mask), runs(mask.T)
    gaps = [start - end for (start, _), (_, end) in zip(down, [(0, 0), *down], strict=False)]
    pairs = {
        "kaggle": [(start + 1, end - start) for start, end in down],
        "kaggle-rows": [(start + 1, end - start) for start, end in along],
        "zero-based": [(start, end - start) for start, end in down],
        "start-end-inclusive": [(start + 1, end) for start, end in down],
        "start-end-exclusive": down,
        "relative": [(gap, end - start) for gap, (start, end) in zip(gaps, down, strict=True)],
    }
    if dialect in pairs:
        text = " ".join(f"{first} {second}" for first, second in pairs[dialect])
        return text or ("-1" if dialect == "relative" else "")
    match dialect:
        case "coco":
            return coco_string(counts(mask))
        case "coco-bytes":
            return coco_string(counts(mask)).encode()
        case "coco-counts":
            return counts(mask)
        case "label-studio":
            return label_studio(mask)
    return cvat(mask)


def pixels_of(mask: Mask) -> Pixels:
    return lambda rows, columns: np.asarray((mask != 0)[np.ix_(np.array(rows), np.array(columns))], np.int64)


def pixels_of_runs(runs: npt.NDArray[np.int64], height: int) -> Pixels:
    """Pixels of a mask that may be too large to exist."""

    def pixels(rows: Indices, columns: Indices) -> npt.NDArray[np.int64]:
        positions = np.add.outer(np.array(rows), np.array(columns) * height)
        return np.asarray(np.searchsorted(runs.ravel(), positions, side="right") & 1, np.int64)

    return pixels


def nearest(mask: Mask, size: Shape) -> Mask:
    return nearest_at(pixels_of(mask), mask.shape, size, range(size[0]), range(size[1]))


def nearest_at(pixels: Pixels, shape: Shape, size: Shape, rows: Indices, columns: Indices) -> Mask:
    """OpenCV's INTER_NEAREST: the ratio is the reciprocal of a rounded quotient."""
    y, x = (
        [min(math.floor(i * (1 / (to / from_))), from_ - 1) for i in wanted]
        for from_, to, wanted in zip(shape, size, (rows, columns), strict=True)
    )
    return pixels(y, x).astype(np.uint8)


def _linear_axis(from_: int, to: int, wanted: Indices, clamp: bool) -> npt.NDArray[np.int64]:
    taps = []
    for i in wanted:
        centre = np.float32((i + 0.5) * (1 / (to / from_)) - 0.5)
        index, fraction = int(np.floor(centre)), centre - np.floor(centre)
        if clamp and not 0 <= index < from_ - 1:
            fraction = np.float32(0)
        weights = [int(np.rint(part * np.float32(2048))) for part in (np.float32(1) - fraction, fraction)]
        taps.append((min(max(index, 0), from_ - 1), min(max(index + 1, 0), from_ - 1), weights[0], weights[1]))
    return np.array(taps).T


def linear(mask: Mask, size: Shape) -> Mask:
    if mask.shape == (2 * size[0], 2 * size[1]):  # a mean of four, rounded
        pixels = 255 * (mask != 0).astype(np.int64)
        return np.asarray(((pixels.reshape(size[0], 2, size[1], 2).sum((1, 3)) + 2) >> 2) > 127, np.uint8)
    return linear_at(pixels_of(mask), mask.shape, size, range(size[0]), range(size[1]))


def linear_at(pixels: Pixels, shape: Shape, size: Shape, rows: Indices, columns: Indices) -> Mask:
    """OpenCV's INTER_LINEAR in fixed point on 0 and 255, then > 127, but for a factor of 2 on both axes."""
    x0, x1, a0, a1 = _linear_axis(shape[1], size[1], columns, clamp=True)
    y0, y1, b0, b1 = _linear_axis(shape[0], size[0], rows, clamp=False)
    upper, lower = (255 * (pixels(y, x0) * a0 + pixels(y, x1) * a1) >> 4 for y in (y0, y1))
    mixed = ((b0[:, np.newaxis] * upper) >> 16) + ((b1[:, np.newaxis] * lower) >> 16)
    return np.asarray(((mixed + 2) >> 2) > 127, np.uint8)


def area(mask: Mask, size: Shape) -> Mask:
    """Blow the mask up until every cell is a whole number of pixels, then count."""
    fine = np.repeat(np.repeat(mask != 0, size[0], axis=0), size[1], axis=1)
    covered = fine.reshape(size[0], mask.shape[0], size[1], mask.shape[1]).sum((1, 3))
    return np.asarray(2 * covered >= mask.size, np.uint8)


def area_at(run_list: RunList, shape: Shape, size: Shape, rows: Indices, columns: Indices) -> Mask:
    """Add up how much of each cell each run covers, in units of which a pixel is `size` long and a cell `shape`."""

    def overlaps(start: int, end: int, axis: int, wanted: Indices) -> npt.NDArray[Any]:
        cells = np.array(wanted, object) * shape[axis]  # Python's integers have no limit
        low, high = np.maximum(start * size[axis], cells), np.minimum(end * size[axis], cells + shape[axis])
        return np.asarray(np.maximum(high - low, 0))

    covered = np.zeros((len(rows), len(columns)), object)
    for start, end in run_list:
        (x0, y0), (x1, y1) = divmod(start, shape[0]), divmod(end, shape[0])
        boxes = [(y0, y1, x0, x0 + 1)]  # all in one column, or: a bottom, whole columns, and a top
        if x0 < x1:
            boxes = [(y0, shape[0], x0, x0 + 1), (0, shape[0], x0 + 1, x1), (0, y1, x1, x1 + 1)]
        for top, bottom, left, right in boxes:
            covered += np.multiply.outer(overlaps(top, bottom, 0, rows), overlaps(left, right, 1, columns))
    return np.asarray(2 * covered >= shape[0] * shape[1], np.uint8)


def _bilinear_axis(from_: int, to: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Index of the first of two pixels, and the weight of the second."""
    centres = ((np.arange(to) + 0.5) * (1 / (to / from_)) - 0.5).astype(np.float32)
    if from_ == to:
        centres = np.arange(to, dtype=np.float32)
    centres = np.clip(centres, 0, from_ - 1)
    indices = np.floor(centres).astype(np.int64)
    return indices, centres - np.floor(centres)


def area_means(image: npt.NDArray[np.uint8], size: Shape) -> npt.NDArray[np.int64]:
    """The mean of the area that each pixel of `size` covers of an image (height, width, channels), halves up."""

    def overlaps(source: int, target: int) -> npt.NDArray[np.float64]:
        """Of output pixels, `source` long, with source pixels, `target` long: whole numbers, as are their sums."""
        first, second = np.arange(target)[:, np.newaxis] * source, np.arange(source) * target
        shared = np.minimum(first + source, second + target) - np.maximum(first, second)
        return np.asarray(np.maximum(shared, 0), np.float64)

    height, width, _ = image.shape
    rows = np.tensordot(overlaps(height, size[0]), image.astype(np.float64), (1, 0))
    sums = np.tensordot(overlaps(width, size[1]), rows, (1, 1)).transpose(1, 0, 2).astype(np.int64)
    means: npt.NDArray[np.int64] = (2 * sums + height * width) // (2 * height * width)
    return means


def resized_maps(maps: Mask, size: Shape) -> npt.NDArray[np.float32]:
    """Probabilities (height, width, classes) resized in float32: OpenCV's INTER_LINEAR, x first."""
    maps = maps / np.float32(255) if maps.dtype == np.uint8 else maps
    (y0, fy), (x0, fx) = (_bilinear_axis(from_, to) for from_, to in zip(maps.shape, size, strict=False))
    y1, x1 = np.minimum(y0 + 1, maps.shape[0] - 1), np.minimum(x0 + 1, maps.shape[1] - 1)
    fy, fx = fy[:, np.newaxis, np.newaxis], fx[:, np.newaxis]
    wide = maps[:, x0] * (1 - fx) + maps[:, x1] * fx
    resized: npt.NDArray[np.float32] = wide[y0] * (1 - fy) + wide[y1] * fy
    return resized


def components(mask: Mask, connectivity: int = 8) -> list[list[tuple[int, int]]]:
    """Pixels of each component, connected by edges, or by edges and corners."""
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if connectivity == 8 or dy * dx == 0]
    left = {(y, x) for y, x in np.argwhere(mask).tolist()}
    found = []
    while left:
        component = [left.pop()]
        for y, x in component:
            near = {(y + dy, x + dx) for dy, dx in steps} & left
            left -= near
            component += near
        found.append(component)
    return found


def without_small(mask: Mask, min_area: int) -> Mask:
    kept = np.zeros_like(mask)
    for component in components(mask):
        if len(component) >= min_area:
            kept[tuple(np.transpose(component))] = 1
    return kept


def holes(mask: Mask) -> list[list[tuple[int, int]]]:
    """Pixels of each hole: background, connected by edges, that reaches no border."""
    inner = {(y, x) for y, x in np.ndindex(*mask.shape) if 0 < y < mask.shape[0] - 1 and 0 < x < mask.shape[1] - 1}
    return [hole for hole in components(mask == 0, connectivity=4) if inner.issuperset(hole)]


def without_holes(mask: Mask, max_area: float = math.inf) -> Mask:
    filled = mask.copy()
    for hole in holes(mask):
        if len(hole) <= max_area:
            filled[tuple(np.transpose(hole))] = 1
    return filled


def translated(mask: Mask, dy: int, dx: int) -> Mask:
    moved = np.zeros_like(mask)
    for y, x in np.argwhere(mask).tolist():
        if 0 <= y + dy < mask.shape[0] and 0 <= x + dx < mask.shape[1]:
            moved[y + dy, x + dx] = 1
    return moved


def centroid(mask: Mask) -> tuple[float, float] | None:
    rows, columns = np.nonzero(mask)
    return (float(rows.mean()), float(columns.mean())) if len(rows) else None


def ring_pixels(ring: npt.NDArray[np.int64], shape: Shape) -> Mask:
    """Pixels inside a ring along the edges of pixels: each horizontal edge changes all that is below it."""
    mask = np.zeros(shape, np.uint8)
    for (x0, y0), (x1, y1) in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
        if y0 == y1:
            mask[y0:, min(x0, x1) : max(x0, x1)] ^= 1
    return mask


def coco_polygon(vertices: Sequence[float], shape: Shape) -> RunList:
    """COCO's rule: walk round the polygon on a grid five times as fine, and note where the walk changes column."""
    fine = [int(5 * number + 0.5) for number in vertices]
    corners = list(zip(fine[::2], fine[1::2], strict=True))
    walk = []
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        wide, high = abs(x1 - x0), abs(y1 - y0)
        swapped = x0 > x1 if wide >= high else y0 > y1
        (xs, ys), (xe, ye) = ((x1, y1), (x0, y0)) if swapped else ((x0, y0), (x1, y1))
        steps = []
        for step in range(max(wide, high) + 1):
            if wide >= high:
                steps.append((xs + step, int(ys + (ye - ys) / max(wide, 1) * step + 0.5)))
            else:
                steps.append((int(xs + (xe - xs) / high * step + 0.5), ys + step))
        walk += steps[::-1] if swapped else steps
    changes = []
    for (x0, y0), (x1, y1) in itertools.pairwise(walk):
        column = (min(x0, x1) + 0.5) / 5 - 0.5
        if x0 != x1 and column == int(column) and 0 <= column < shape[1]:
            row = min(max((min(y0, y1) + 0.5) / 5 - 0.5, 0), shape[0])
            changes.append(int(column) * shape[0] + math.ceil(row))
    once = [position for position in sorted(set(changes)) if changes.count(position) % 2]
    return list(zip(once[::2], once[1::2], strict=True))


def bbox(mask: Mask) -> tuple[int, int, int, int] | None:
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return None
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def iou(a: Mask, b: Mask) -> float:
    union = int(((a != 0) | (b != 0)).sum())
    return int(((a != 0) & (b != 0)).sum()) / union if union else 1.0


def dice(a: Mask, b: Mask) -> float:
    total = int((a != 0).sum()) + int((b != 0).sum())
    return 2 * int(((a != 0) & (b != 0)).sum()) / total if total else 1.0


def notebook_rle_to_mask(rle_string: str | int, height: int, width: int) -> Mask:
    """`rle_to_mask` of the notebook that this project began with."""
    if rle_string == -1:
        return np.zeros((height, width))
    numbers = [int(number) for number in str(rle_string).split(" ")]
    image = np.zeros(height * width, dtype=np.uint8)
    for index, length in np.array(numbers).reshape(-1, 2):
        index -= 1
        image[index : index + length] = 255
    return image.reshape(width, height).T


def notebook_mask_to_rle(mask: Mask) -> str:
    """`mask_to_rle` of the notebook that this project began with."""
    pixels = np.concatenate([[0], mask.T.flatten(), [0]])
    found = np.where(pixels[1:] != pixels[:-1])[0] + 1
    found[1::2] -= found[::2]
    return " ".join(str(x) for x in found)


# The rest defines what cloudseg_sdk computes: losses, metric, decision and calibration.

Maps = npt.NDArray[Any]


def _pools(truth: Maps, predicted: Maps, per: str) -> list[tuple[Maps, Maps]]:
    """Pixels of ``(N, H, W, C)`` that share one sum: those of one image and class, or all."""
    truth, predicted = truth.astype(np.float64), predicted.astype(np.float64)
    if per == "batch":
        return [(truth, predicted)]
    images, _, _, classes = truth.shape
    return [(truth[n, :, :, c], predicted[n, :, :, c]) for n in range(images) for c in range(classes)]


def dice_loss(truth: Maps, predicted: Maps, per: str, smooth: float = 1.0) -> float:
    losses = [1 - (2 * (t * p).sum() + smooth) / (t.sum() + p.sum() + smooth) for t, p in _pools(truth, predicted, per)]
    return float(sum(losses) / len(losses))


def bce_loss(truth: Maps, predicted: Maps) -> float:
    p = np.clip(predicted.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(np.where(truth != 0, -np.log(p), -np.log(1 - p)).mean())


def focal_tversky_loss(
    truth: Maps, predicted: Maps, per: str, fp_weight: float, fn_weight: float, gamma: float = 1.0, smooth: float = 1.0
) -> float:
    losses = []
    for t, p in _pools(truth, predicted, per):
        hit, false_alarm, miss = (t * p).sum(), ((1 - t) * p).sum(), (t * (1 - p)).sum()
        index = (hit + smooth) / (hit + fp_weight * false_alarm + fn_weight * miss + smooth)
        losses.append((1 - index) ** gamma)
    return float(sum(losses) / len(losses))


def positive_dice_loss(truth: Maps, predicted: Maps, per: str, smooth: float = 1.0) -> float:
    """Mean over masks with any foreground; 0 where there is none."""
    losses = [
        1 - (2 * (t * p).sum() + smooth) / (t.sum() + p.sum() + smooth)
        for t, p in _pools(truth, predicted, per)
        if t.any()
    ]
    return float(sum(losses) / len(losses)) if losses else 0.0


def lovasz_loss(truth: Maps, predicted: Maps, per: str) -> float:
    """Berman et al. 2018, equations 3, 4 and 8: pixels in the order of their errors enter the set of the wrong ones."""
    losses = []
    for t, p in _pools(truth, predicted, per):
        foreground = t.ravel() != 0
        errors = np.abs(t - p).ravel()
        wrong_or_foreground = int(foreground.sum())
        loss = before = 0.0
        for wrong, pixel in enumerate(np.argsort(-errors), start=1):
            wrong_or_foreground += not foreground[pixel]
            after = wrong / wrong_or_foreground
            loss += errors[pixel] * (after - before)
            before = after
        losses.append(loss)
    return float(sum(losses) / len(losses))


LOSSES: dict[str, Callable[..., float]] = {
    "dice": dice_loss,
    "bce_dice": lambda truth, predicted, per: bce_loss(truth, predicted) + dice_loss(truth, predicted, per),
    "bce_positive_dice": lambda truth, predicted, per: (
        0.75 * bce_loss(truth, predicted) + 0.25 * positive_dice_loss(truth, predicted, per)
    ),
    "tversky": partial(focal_tversky_loss, fp_weight=0.3, fn_weight=0.7),
    "focal_tversky": partial(focal_tversky_loss, fp_weight=0.3, fn_weight=0.7, gamma=0.75),
    "lovasz": lovasz_loss,
}


def bilinear(image: Maps, size: Shape) -> Maps:
    """Half-pixel bilinear, edges repeated."""
    axes = []
    for from_, to in zip(image.shape, size, strict=True):
        centre = (np.arange(to) + 0.5) * from_ / to - 0.5
        below = np.floor(centre)
        first, second = (np.clip(below + step, 0, from_ - 1).astype(int) for step in (0, 1))
        axes.append((first, second, centre - below))
    (top, bottom, down), (left, right, across) = axes
    pixels = image.astype(np.float64)
    mixed = pixels[:, left] * (1 - across) + pixels[:, right] * across
    return np.asarray(mixed[top] * (1 - down[:, np.newaxis]) + mixed[bottom] * down[:, np.newaxis])


def presence_score(probabilities: Maps, head: float | None = None) -> float:
    """Mean of the highest 9.5% of one class map; with a presence head the mean of that and of its sigmoid."""
    values = sorted(probabilities.ravel().tolist(), reverse=True)
    highest = values[: max(1, round(0.095 * len(values)))]
    score = math.fsum(highest) / len(highest)
    return score if head is None else (score + head) / 2


def candidate_dice(
    resized: Maps, truth: Mask, thresholds: Sequence[float], min_areas: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Dice of one class map at its truth's size, for each minimum area (a fraction of the image) and threshold."""
    table = np.empty((len(min_areas), len(thresholds)))
    for column, threshold in enumerate(thresholds):
        found = components(resized >= np.float32(threshold))
        for row, min_area in enumerate(min_areas):
            mask = np.zeros_like(truth)
            for component in found:
                if len(component) / mask.size >= min_area:
                    mask[tuple(np.transpose(component))] = 1
            table[row, column] = dice(truth, mask)
    return table


Rule = tuple[float, float, float]  # minimum area, pixel threshold, presence


def rule_dice(
    rule: Rule, scores: Maps, empty: Maps, table: Maps, min_areas: list[float], thresholds: list[float]
) -> Maps:
    """Dice of each image: its candidate's if its score reaches the presence, else that of an empty mask."""
    shown = table[:, min_areas.index(rule[0]), thresholds.index(rule[1])]
    return np.array([d if s >= np.float32(rule[2]) else e for s, d, e in zip(scores, shown, empty, strict=True)])


def best_rules(scores: Maps, empty: Maps, table: Maps, min_areas: list[float], thresholds: list[float]) -> list[Rule]:
    """The rule of one class for each step: none chosen, threshold, presence too, minimum area too.

    `scores` float32 ``(N,)``, `empty` 1 where the truth is, `table` the candidates' Dice ``(N, areas, thresholds)``.
    The best mean wins; of equals the one with the least area, then the threshold nearest to 0.5, then the least
    presence. A minimum area must gain more than two standard errors.
    """
    levels = sorted({float(score) for score in scores})
    cuts = [0.0]
    for below, above in zip(levels, [*levels[1:], 1.0], strict=True):
        if below < 1:
            half = (np.float32(below) + np.float32(above)) / np.float32(2)
            cuts.append(float(half) if half > below else above)

    def mean(rule: Rule) -> float:
        return float(rule_dice(rule, scores, empty, table, min_areas, thresholds).mean())

    def best(areas: list[float], presences: list[float]) -> Rule:
        means = {rule: mean(rule) for rule in itertools.product(areas, thresholds, presences)}
        highest = max(means.values())
        equals = [rule for rule, value in means.items() if value > highest - 1e-9]
        return min(equals, key=lambda rule: (rule[0], abs(rule[1] - 0.5), rule[1], rule[2]))

    present, sized = best(min_areas[:1], cuts), best(min_areas, cuts)
    gain = np.subtract(*(rule_dice(rule, scores, empty, table, min_areas, thresholds) for rule in (sized, present)))
    worth = gain.mean() > 2 * math.sqrt(((gain - gain.mean()) ** 2).mean() / len(gain))
    return [(0.0, 0.5, 0.0), best(min_areas[:1], cuts[:1]), present, sized if worth else present]


def flipped_mean(run: Callable[[Maps], Maps], images: Maps) -> Maps:
    """Mean of the maps of a batch and of its three mirror images, mirrored back."""
    total = run(images).astype(np.float64)
    total += run(images[:, ::-1].copy())[:, ::-1]
    total += run(images[:, :, ::-1].copy())[:, :, ::-1]
    total += run(images[:, ::-1, ::-1].copy())[:, ::-1, ::-1]
    return total / 4


def window_starts(total: int, cells: int, overlap: float) -> list[int]:
    """Fewest windows of `cells`, evenly spaced from end to end of `total`, that share at least the overlap."""
    for count in itertools.count(1):
        gaps = max(1, count - 1)
        starts = [round(number * (total - cells) / gaps) for number in range(count)]
        shared = [cells - (after - before) for before, after in itertools.pairwise(starts)]
        reaches = starts[-1] == total - cells
        if reaches and all(cells - one <= max(1, math.floor(cells * (1 - overlap))) for one in shared):
            return starts
    raise AssertionError


def blended(
    run: Callable[[Maps], Maps], image: Maps, window: Shape, overlap: float, cells: Shape
) -> tuple[Maps, list[Maps]]:
    """Maps of a scene, each cell the mean over the windows on it, weighted by Hann's window; and those of each one.

    `run` gives the maps ``(*cells, C)`` of a part of the scene.
    """
    covered = [min(one, length) for one, length in zip(window, image.shape, strict=False)]
    total = [
        max(count, round(length * count / one)) for length, count, one in zip(image.shape, cells, covered, strict=False)
    ]

    def pixel(axis: int, cell: int) -> int:
        return math.floor(Fraction(cell * image.shape[axis], total[axis]) + Fraction(1, 2))

    corners = list(itertools.product(*(window_starts(total[axis], cells[axis], overlap) for axis in (0, 1))))
    parts = []
    for top, left in corners:
        bottom, right = top + cells[0], left + cells[1]
        parts.append(run(image[pixel(0, top) : pixel(0, bottom), pixel(1, left) : pixel(1, right)]))

    def weight(axis: int, cell: int) -> float:
        return math.sin(math.pi * (cell + 0.5) / cells[axis]) ** 2

    maps = np.zeros((*total, parts[0].shape[2]))
    for row, column in itertools.product(range(total[0]), range(total[1])):
        weights = 0.0
        for (top, left), part in zip(corners, parts, strict=True):
            y, x = row - top, column - left
            if 0 <= y < cells[0] and 0 <= x < cells[1]:
                maps[row, column] += weight(0, y) * weight(1, x) * part[y, x]
                weights += weight(0, y) * weight(1, x)
        maps[row, column] /= weights
    return maps, parts


# Training data: parts of a dataset, and what augmentation does to images and masks.


def strata(combinations: Sequence[tuple[bool, ...]], common: float, seed: int) -> list[list[int]]:
    """Images of each combination of classes, the commonest first and the rare ones together last, each shuffled."""
    members: dict[tuple[bool, ...], list[int]] = {}
    for number in np.random.default_rng(seed).permutation(len(combinations)).tolist():
        members.setdefault(combinations[number], []).append(number)
    ranked = sorted(members, key=lambda combination: (-len(members[combination]), combination))
    rare = {number for one in ranked if len(members[one]) < common for number in members[one]}
    shuffled = np.random.default_rng(seed).permutation(len(combinations)).tolist()
    return [members[one] for one in ranked if len(members[one]) >= common] + [[n for n in shuffled if n in rare]]


def split(combinations: Sequence[tuple[bool, ...]], share: float, seed: int) -> set[int]:
    """Walk along the strata, saving up for one image after the other."""
    wanted = min(max(round(share * len(combinations)), 1), len(combinations) - 1)
    chosen, saved = set(), 0
    for stratum in strata(combinations, 1 / min(share, 1 - share), seed):
        for number in stratum:
            saved += wanted
            if saved >= len(combinations):
                saved -= len(combinations)
                chosen.add(number)
    return chosen


def folds(combinations: Sequence[tuple[bool, ...]], count: int, seed: int) -> list[set[int]]:
    """Deal the strata out like cards."""
    hands: list[set[int]] = [set() for _ in range(count)]
    turn = 0
    for stratum in strata(combinations, count, seed):
        for number in stratum:
            hands[turn % count].add(number)
            turn += 1
    return hands


def _origins(grid: Shape, size: Shape, matrix: Maps) -> tuple[Maps, Maps]:
    """Rows and columns that each pixel's centre comes from, in pixels of the grid from its corner.

    `matrix` takes points (x, y) of an image of `size` to where they come from; the grid covers the same ground.
    """
    rows, columns = np.empty(grid), np.empty(grid)
    for row in range(grid[0]):
        for column in range(grid[1]):
            x, y = (column + 0.5) * size[1] / grid[1], (row + 0.5) * size[0] / grid[0]
            from_x, from_y = np.asarray(matrix) @ (x, y, 1.0)
            rows[row, column], columns[row, column] = from_y * grid[0] / size[0], from_x * grid[1] / size[1]
    return rows, columns


def warp_mask(mask: Mask, size: Shape, matrix: Maps) -> tuple[Mask, Mask]:
    """Nearest pixel of a mask that covers an image of `size`, and where that is beyond doubt; nothing outside."""
    rows, columns = _origins(mask.shape, size, matrix)
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    values = np.zeros_like(mask)
    values[inside] = mask[np.floor(rows[inside]).astype(int), np.floor(columns[inside]).astype(int)]
    certain = (np.abs(rows - np.rint(rows)) > 0.02) & (np.abs(columns - np.rint(columns)) > 0.02)
    return values, certain


def warp_image(image: Maps, matrix: Maps) -> Maps:
    """Bilinear between the centres of pixels; outside there is black."""
    height, width = image.shape[:2]
    rows, columns = _origins((height, width), (height, width), matrix)
    result = np.zeros(image.shape)
    for row in range(height):
        for column in range(width):
            y, x = rows[row, column] - 0.5, columns[row, column] - 0.5
            for near_y in (math.floor(y), math.floor(y) + 1):
                for near_x in (math.floor(x), math.floor(x) + 1):
                    if 0 <= near_y < height and 0 <= near_x < width:
                        weight = (1 - abs(y - near_y)) * (1 - abs(x - near_x))
                        result[row, column] += weight * image[near_y, near_x]
    return result


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Up a straight line over the first twentieth of the steps, down half a cosine over the rest."""
    warm_up = max(1, round(0.05 * steps))
    if step < warm_up:
        return highest * step / warm_up
    return highest * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, steps - warm_up))))


def adamw(
    weights: Sequence[Maps],
    gradients: Sequence[Sequence[Maps]],
    learning_rates: Sequence[float],
    rates: Sequence[float],
    decay: float,
    epsilon: float,
    clip: float,
) -> list[Maps]:
    """Kingma & Ba 2015 in the form before section 2.1, with Loshchilov & Hutter 2019's decay of kernels.

    Gradients are clipped together.
    """
    found = [np.array(weight, np.float64) for weight in weights]
    first, second = [np.zeros(one.shape) for one in found], [np.zeros(one.shape) for one in found]
    for step, parts in enumerate(gradients):
        norm = math.sqrt(sum(float((part.astype(np.float64) ** 2).sum()) for part in parts))
        for i, part in enumerate(parts):
            gradient = part / max(1.0, norm / clip)
            rate = rates[i] * learning_rates[step]
            if found[i].ndim > 1:
                found[i] = found[i] - rate * decay * found[i]
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            rate *= math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
            found[i] = found[i] - rate * first[i] / (np.sqrt(second[i]) + epsilon)
    return found


def moving_average(weights: Sequence[Maps], decay: float) -> Maps:
    """Of the weights after no step, after one, and so on."""
    average = np.array(weights[0], np.float64)
    for step, weight in enumerate(weights):
        kept = min(decay, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * weight
    return average
