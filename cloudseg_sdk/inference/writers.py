"""Writing predictions down: tables, COCO, submissions. Every file is written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudrle import __version__
from cloudrle._files import atomic_path
from cloudseg_sdk.data.readers import read_csv
from cloudseg_sdk.errors import CloudsegError, MissingExtraError
from cloudseg_sdk.metrics import METRIC_SIZE

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from cloudseg_sdk.inference.prediction import Prediction

_CRLF = "\r\n"
_AT_ONCE = 64  # images; also those of a row group of Parquet
_COLUMNS = ("source", "class", "score", "area", "height", "width", "rle", "error")
_NUMBERS = {"score": "float64", "area": "Int64", "height": "Int64", "width": "Int64"}  # the others are text


def make_frame(items: Sequence[Prediction]) -> pd.DataFrame:
    """Return a table; see :meth:`cloudseg_sdk.Predictions.to_frame`."""
    import pandas as pd  # a third of a second, which who wants masks alone is spared

    rows: list[tuple[Any, ...]] = []
    for item in items:
        if item.shape is None:
            rows.append((item.source, None, None, None, None, None, None, item.error))
            continue
        for name, score, rle in zip(item.classes, item.scores, item.rles, strict=True):
            rows.append((item.source, name, score, rle.area, *item.shape, rle.to_kaggle(), None))
    # Text stays as Python's: Arrow's strings cannot hold a file name whose bytes are no UTF-8.
    return pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object).astype(_NUMBERS)


def write_csv(items: Iterable[Prediction], path: Path) -> None:
    """Write the table as CSV; see :meth:`cloudseg_sdk.Predictions.to_csv`."""
    with _open_csv(path) as file:
        for number, some in enumerate(_batches(items)):
            make_frame(some).to_csv(file, index=False, header=number == 0, lineterminator=_CRLF)


class _Rows(io.TextIOWrapper):
    """A file whose rows end in LF although csv is told CRLF: told LF, Python 3.11 leaves a cell with CR unquoted."""

    def write(self, row: str) -> int:
        return super().write(row.removesuffix(_CRLF) + "\n")


@contextmanager
def _open_csv(path: Path) -> Iterator[_Rows]:
    """Open a file for rows that end in `_CRLF`, each written by one call, as the csv module does."""
    with (
        atomic_path(path) as temporary,
        # surrogateescape: a file's name may be bytes that are no UTF-8; they are written as they are.
        _Rows(temporary.open("wb"), newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        yield file


def _batches(items: Iterable[Prediction]) -> Iterator[Sequence[Prediction]]:
    """Yield so few at a time that their rows take little memory, and at least once: a table has its columns."""
    rest = iter(items)
    yield tuple(islice(rest, _AT_ONCE))
    while some := tuple(islice(rest, _AT_ONCE)):
        yield some


def make_table(items: Sequence[Prediction]) -> pa.Table:
    """Return the table in Arrow's types, as Parquet files hold it (needs pyarrow)."""
    import pyarrow as pa

    numbers = {"score": pa.float64(), "area": pa.int64(), "height": pa.int32(), "width": pa.int32()}
    schema = pa.schema([(name, numbers.get(name, pa.string())) for name in _COLUMNS])
    return pa.Table.from_pandas(make_frame(items), schema, preserve_index=False)


def write_parquet(items: Iterable[Prediction], path: Path) -> None:
    """Write the table as Parquet; see :meth:`cloudseg_sdk.Predictions.to_parquet`."""
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("Parquet files need pyarrow", "arrow") from error

    with atomic_path(path) as temporary, ExitStack() as file:
        writer = None
        for some in _batches(items):
            try:
                table = make_table(some)
            except UnicodeEncodeError as error:
                raise CloudsegError(
                    f"the name {error.object!r} is no UTF-8, as Parquet's text must be; rename the file, or use to_csv"
                ) from error
            if writer is None:
                writer = file.enter_context(pq.ParquetWriter(temporary, table.schema, compression="zstd"))
            writer.write_table(table)


def read_sources(path: Path) -> set[str]:
    """Return the sources that a Parquet file of :func:`write_parquet` has rows of."""
    import pyarrow.parquet as pq

    return set(pq.read_table(path, columns=["source"])["source"].unique().to_pylist())


def write_coco(items: Sequence[Prediction], path: Path) -> None:
    """Write COCO JSON; see :meth:`cloudseg_sdk.Predictions.to_coco`."""
    classes = items[0].classes if items else ()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for image_id, item in enumerate(items, start=1):
        if item.classes != classes:
            raise CloudsegError(
                f"{item.source} has the classes {item.classes}, the first has {classes}; write one file for each model"
            )
        if item.shape is None:
            errors.append({"id": image_id, "file_name": item.source, "error": item.error})
            continue
        height, width = item.shape
        images.append({"id": image_id, "file_name": item.source, "height": height, "width": width})
        for category_id, (rle, score) in enumerate(zip(item.rles, item.scores, strict=True), start=1):
            if rle.bbox is None:
                continue
            top, left, bottom, right = rle.bbox
            annotations.append(
                {
                    "id": (image_id - 1) * len(classes) + category_id,
                    "image_id": image_id,
                    "category_id": category_id,
                    "segmentation": rle.to_coco(),
                    "area": rle.area,
                    "bbox": [left, top, right - left, bottom - top],
                    "iscrowd": 0,
                    "score": score,
                }
            )
    document = {
        "info": {"description": f"predicted by cloudseg-sdk {__version__}"},
        "images": images,
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
        "annotations": annotations,
        "errors": errors,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document), encoding="ascii")


def write_submission(items: Sequence[Prediction], path: Path, sample: Path | None) -> None:
    """Write the competition's CSV; see :meth:`cloudseg_sdk.Predictions.to_submission`."""
    cells: dict[str, str] = {}
    for item in items:
        rles = item.require_rles()
        if item.shape != METRIC_SIZE:
            raise CloudsegError(
                f"{item.source} has masks of {item.shape}, a submission wants {METRIC_SIZE} (height, width): "
                f"predict(..., output_size={METRIC_SIZE})"
            )
        for name, rle in zip(item.classes, rles, strict=True):
            key = f"{Path(item.source).name}_{name}"
            if key in cells:
                raise CloudsegError(f"two images are named {Path(item.source).name}; a submission knows names only")
            cells[key] = rle.to_kaggle()
    keys = list(cells) if sample is None else _sample_keys(sample)
    missing = [key for key in keys if key not in cells]
    extra = sorted(cells.keys() - set(keys))
    if missing or extra:
        raise CloudsegError(
            f"{sample} has {len(keys)} rows, predicted are {len(cells)}; "
            f"not predicted {missing[:3] or 'none'}, not in the sample {extra[:3] or 'none'}"
        )
    with _open_csv(path) as file:
        writer = csv.writer(file, lineterminator=_CRLF)
        writer.writerow(("Image_Label", "EncodedPixels"))
        writer.writerows((key, cells[key]) for key in keys)


def _sample_keys(path: Path) -> list[str]:
    keys = [key for key in read_csv(path, ("Image_Label", "EncodedPixels"))["Image_Label"] if key]  # no blank lines
    doubled = [key for key, count in Counter(keys).items() if count > 1]
    if doubled:
        raise CloudsegError(f"{path} has two rows for {doubled[0]}")
    return keys
