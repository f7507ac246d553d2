"""The command ``cloudrle``: files in every format and dialect, there and back, and what it says of faults."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import reference
from faults import without_privileges
from image_files import png_claiming
from typer.testing import CliRunner, Result

import cloudrle
from cloudrle import DIALECTS, RLE, _csv
from cloudrle.cli import app, json_stream, main, sources

SHAPE = (7, 9)
RNG = np.random.default_rng(8)
MASKS = [(RNG.random(SHAPE) < density).astype(np.uint8) for density in (0.5, 0.0, 0.1, 1.0, 0.9, 0.0, 0.3, 0.6)]
NAMES = [f"{image}.jpg_{label}" for image in ("a", "b_c") for label in ("Fish", "Flower", "Gravel", "Sugar")]
TRAIN = "Image_Label,EncodedPixels\n" + "".join(
    f"{name},{cloudrle.encode(mask)}\n" for name, mask in zip(NAMES, MASKS, strict=True)
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 1
    return str(result.exception)


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    path.write_text(TRAIN)
    return path


@pytest.fixture(autouse=True, params=[None, 3], ids=["one block", "blocks of 3 rows"])
def _block_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param is not None:
        monkeypatch.setattr(sources, "_BLOCK_ROWS", request.param)


def test_train_csv_goes_to_coco_json_and_back(train: Path) -> None:
    coco, back = train.with_name("coco.json"), train.with_name("back.csv")
    assert done("convert", train, coco, "--shape", "7x9").startswith(f"wrote 8 masks to {coco}")
    done("convert", coco, back)
    assert back.read_bytes() == train.read_bytes()
    assert sorted(path.name for path in train.parent.iterdir()) == ["back.csv", "coco.json", "train.csv"]


@pytest.mark.parametrize("dialect", ["coco", "coco-counts"])
def test_pycocotools_reads_the_coco_json(train: Path, dialect: str) -> None:
    coco_api = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    path = train.with_name("coco.json")
    done("convert", train, path, "--shape", "7x9", "--to", dialect)
    coco = coco_api.COCO(path)
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == len(MASKS)
    for annotation, mask, name in zip(annotations, MASKS, NAMES, strict=True):
        np.testing.assert_array_equal(coco.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum()
        image, category = coco.imgs[annotation["image_id"]], coco.cats[annotation["category_id"]]
        assert f"{image['file_name']}_{category['name']}" == name
        y, x = np.nonzero(mask)
        box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1] if len(y) else [0, 0, 0, 0]
        assert annotation["bbox"] == box


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_every_dialect_in_every_format(train: Path, dialect: str, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path, back = train.with_name(f"masks.{suffix}"), train.with_name("back.csv")
    options = ["--format", suffix, "--to", dialect, "--shape", "7x9"]
    if dialect == "coco-bytes" and suffix != "parquet":
        assert refused("convert", train, path, *options) == (
            "bytes fit into Parquet only; for text the dialect is 'coco'"
        )
        return
    done("convert", train, path, *options)
    cells = [reference.in_dialect(mask, dialect) for mask in MASKS]
    if suffix == "parquet":
        assert pd.read_parquet(path)["EncodedPixels"].map(_listed).tolist() == cells
    elif suffix == "json":
        assert json.loads(path.read_text()) == [
            {"Image_Label": name, "EncodedPixels": cell} for name, cell in zip(NAMES, cells, strict=True)
        ]
    else:
        frame = pd.read_csv(path, keep_default_na=False, dtype=str)
        assert [json.loads(cell) if cell[:1] == "[" else cell for cell in frame["EncodedPixels"]] == cells
    done("convert", path, back, "--from", dialect, "--shape", "7x9")
    assert back.read_bytes() == train.read_bytes()


def _listed(cell: Any) -> Any:
    return cell.tolist() if isinstance(cell, np.ndarray) else cell


def test_other_columns_stay_as_they_are_and_quotes_where_they_were(tmp_path: Path) -> None:
    text = 'id,"a ""b"", c",rle,height,width\n1,"x\ny",1 2,2,2\n, é ,,4,1\n"3,4",\'q\',4 1,4,1\n'
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text(text, encoding="utf-8")
    done("convert", path, tmp_path / "mid.json", "--format", "json", "--to", "relative")
    rows = json.loads((tmp_path / "mid.json").read_text(encoding="utf-8"))
    assert [row["rle"] for row in rows] == ["0 2", "-1", "3 1"]
    done("convert", tmp_path / "mid.json", out, "--from", "relative")
    assert out.read_text(encoding="utf-8") == text
    path.write_text('rle\n1 1\n""\n', encoding="utf-8")
    done("convert", path, out, "--shape", "1x1")
    assert out.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


def test_files_without_rows(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("Image_Label,EncodedPixels\n")
    for name, options in [("a.csv", []), ("a.parquet", []), ("a.json", ["--format", "json"]), ("b.json", [])]:
        done("convert", tmp_path / "in.csv", tmp_path / name, "--shape", "2x2", *options)
    assert (tmp_path / "a.csv").read_text() == "Image_Label,EncodedPixels\n"
    assert pd.read_parquet(tmp_path / "a.parquet").columns.tolist() == ["Image_Label", "EncodedPixels"]
    assert json.loads((tmp_path / "a.json").read_text()) == []
    assert json.loads((tmp_path / "b.json").read_text()) == {"annotations": [], "images": [], "categories": []}
    done("convert", tmp_path / "b.json", tmp_path / "c.csv")
    assert (tmp_path / "c.csv").read_text() == "Image_Label,EncodedPixels\n"
    assert done("info", tmp_path / "in.csv", "--shape", "2x2") == "0 masks, 0 of them empty\n"
    assert done("check", tmp_path / "in.csv", "--shape", "2x2") == "0 of 0 masks are faulty\n"


def test_coco_json_of_other_tools(tmp_path: Path) -> None:
    """Images behind annotations or before them, mixed kinds of counts, other keys, and images of two sizes."""
    rles = [RLE.from_mask(np.eye(2, 3)), RLE.from_mask(np.ones((4, 1)))]
    annotations = [
        {"id": 9, "image_id": "x", "category_id": 7, "segmentation": rles[0].to_coco(), "score": 0.5},
        {"id": 8, "image_id": "y", "category_id": 7, "segmentation": rles[1].to_coco(compressed=False)},
    ]
    document = {
        "info": {"year": 2026, "nested": [1, [2]]},
        "annotations": annotations,
        "licenses": [],
        "images": [
            {"id": "x", "file_name": "x_1.png", "height": 2, "width": 3},
            {"id": "y", "file_name": "y.png", "height": 4, "width": 1},
        ],
        "categories": [{"id": 7, "name": "ice"}],
    }
    for keys in (list(document), sorted(document, reverse=True)):
        path = tmp_path / "in.json"
        path.write_text("\ufeff" + json.dumps({key: document[key] for key in keys}, indent=1), encoding="utf-8")
        done("convert", path, tmp_path / "out.csv")
        assert (tmp_path / "out.csv").read_text() == (
            "Image_Label,EncodedPixels,height,width\nx_1.png_ice,1 1 4 1,2,3\ny.png_ice,1 4,4,1\n"
        )
        done("convert", tmp_path / "out.csv", tmp_path / "back.json")
        back = json.loads((tmp_path / "back.json").read_text())
        assert [item["segmentation"] for item in back["annotations"]] == [rle.to_coco() for rle in rles]


FILES = [
    ("a.csv", "Image_Label,EncodedPixels\na_b,1 1\na_c,1 x\n", "row 1: 'x' at position 2 is neither a digit nor"),
    ("a.csv", "Image_Label,EncodedPixels\na_b\n", "{path} line 2: wanted 2 cells, got 1"),
    ("a.csv", "a,a\n", "{path} has two columns of one name: a, a"),
    ("a.csv", "a,b\n1,2\n", "{path} has no column of masks that is known by its name, only a, b; pass --column"),
    ("a.csv", "", "{path} has no column of masks that is known by its name, only none at all; pass --column"),
    ("a.csv", 'rle\n"1 1', "{path} line 2: a quote is opened and never closed"),
    ("a.txt", "", "{path} must end in .csv, .parquet or .json"),
    ("a.json", '[{"rle": "1 1"}, {"mask": ""}]', "{path}: row 1 must have the keys of row 0, rle"),
    ("a.json", '[{"rle": "1 1"}, {"rle": 3}]', "row 1: text must be a str, got int"),
    ("a.json", '[{"rle": "1 1"}, {"rle": null}]', "row 1: the mask is missing (None); pass --missing empty to read"),
    ("a.json", '[{"rle": "1 1"} x', "{path}: broken JSON at character 16: wanted ',' or ']', got 'x'"),
    ("a.json", '[{"rle": "1 1"', "{path}: broken JSON at character 14: wanted a value, got 'the end of the file'"),
    ("a.json", '{"a": 1}}', "{path}: broken JSON at character 8: wanted the end of the file, got '}'"),
    ("a.json", "{3: 1}", "{path}: broken JSON at character 2: wanted a key in quotes, got ': 1}'"),
    ("a.json", "[]", "{path} has no column of masks that is known by its name, only none at all; pass --column"),
    ("a.json", "3", "{path}: broken JSON at character 0: wanted '[' or '{', got '3'"),
    ("a.json", '{"images": [{"id": 1}]}', "{path}: image {'id': 1} must have a file_name, a text"),
    (
        "a.json",
        '{"annotations": [{"image_id": 1.5, "category_id": true, "segmentation": {}}]}',
        "{path}: annotation 0 must have whole numbers or texts as image_id and category_id, got 1.5 and True",
    ),
    (
        "a.json",
        '{"images": [{"id": 1, "file_name": "a", "height": 2, "width": 2}], '
        '"annotations": [{"image_id": 1, "category_id": 2, "segmentation": {}}]}',
        "{path}: annotation 0 is of category 2, which the file does not have",
    ),
    ("a.json", '{"annotations": [{}]}', "{path}: annotation 0 must have image_id, category_id and segmentation"),
    (
        "a.json",
        '{"annotations": [{"image_id": 1, "category_id": 1, "segmentation": [[1, 2]]}]}',
        "{path}: annotation 0 is of image 1, which the file does not have",
    ),
    (
        "a.json",
        '{"images": [{"id": 1, "file_name": "a", "height": 2, "width": 2}], "categories": [{"id": 1, "name": "b"}], '
        '"annotations": [{"image_id": 1, "category_id": 1, "segmentation": [[1, 2]]}]}',
        "{path}: annotation 0 is no run-length encoding with size and counts; polygons must become masks first",
    ),
    (
        "a.json",
        '{"images": [{"id": 1, "file_name": "a", "height": 2, "width": 2}], "categories": [{"id": 1, "name": "b"}], '
        '"annotations": [{"image_id": 1, "category_id": 1, "segmentation": {"size": [2, 3], "counts": "6"}}]}',
        "row 0: the size of the segmentation is [2, 3], but the shape of this row is 2 x 2 (height, width)",
    ),
]


@pytest.mark.parametrize(("name", "text", "message"), FILES)
def test_faulty_files_are_named_and_nothing_is_written(tmp_path: Path, name: str, text: str, message: str) -> None:
    path, out = tmp_path / name, tmp_path / "out.csv"
    path.write_text(text)
    out.write_text("old")
    assert refused("convert", path, out, "--shape", "3x3").startswith(message.replace("{path}", str(path)))
    assert out.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


OPTIONS: list[tuple[list[str], str]] = [
    ([], "the file does not say how large its masks are; pass --shape HEIGHTxWIDTH"),
    (["--shape", "7"], "--shape must be HEIGHTxWIDTH, as in 1400x2100, got '7'"),
    (["--shape", "7x9", "--from", "png"], f"a dialect must be one of {', '.join(DIALECTS)}, got 'png'"),
    (["--shape", "7x9", "--column", "rle"], "{train} has no column 'rle'; it has Image_Label, EncodedPixels"),
    (["--shape", "7x9", "--to", "cvat"], "COCO JSON holds the dialects 'coco' and 'coco-counts', got 'cvat'"),
    (["--shape", "7x9", "--format", "xml"], "{out}: the format must be one of csv, parquet, json, coco; pass --format"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_faulty_options(train: Path, options: list[str], message: str) -> None:
    out = train.with_name("out.json")
    wanted = message.replace("{train}", str(train)).replace("{out}", str(out))
    assert refused("convert", train, out, *options) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Image_Label,rle\nab,\n", "row 0: Image_Label must be <image>_<label>, got 'ab'"),
        (
            "id,rle\nab,\n",
            "COCO JSON holds an image and a label for each mask: wanted a column Image_Label, or image and label, "
            "besides rle, height and width, got id",
        ),
        (
            "image,label,rle,height,width\na,b,,2,2\na,c,,2,3\n",
            "row 1: image a has shape 2 x 3, but in a row before 2 x 2",
        ),
        (
            "image,label,rle,height,width\na,b,,2,x\n",
            "row 0: height and width must be whole numbers of pixels, got '2' and 'x'",
        ),
    ],
)
def test_what_coco_json_cannot_hold(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "in.csv").write_text(text)
    shape = [] if "height" in text else ["--shape", "2x2"]
    assert refused("convert", tmp_path / "in.csv", tmp_path / "out.json", *shape) == message


def test_check_lists_every_fault(train: Path) -> None:
    assert done("check", train, "--shape", "7x9") == "0 of 8 masks are faulty\n"
    lines = TRAIN.splitlines()
    lines[2] += "1 x"
    lines[6] = "b_c.jpg_Flower,60 9"
    train.write_text("\n".join(lines) + "\n")
    result = run("check", train, "--shape", "7x9")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "row 1 (a.jpg_Flower): 'x' at position 2 is neither a digit nor white space; wanted 'start length start length "
        "...'",
        "row 5 (b_c.jpg_Flower): run 1 starts at 60 with length 9, past the last pixel of a 7 x 9 mask (63); is the "
        "shape (height, width)?",
        "2 of 8 masks are faulty",
    ]


def test_missing_masks_are_faults_unless_they_are_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text('[{"rle": "1 1"}, {"rle": null}]')
    assert run("check", path, "--shape", "1x1").exit_code == 1
    assert done("check", path, "--shape", "1x1", "--missing", "empty") == "0 of 2 masks are faulty\n"


def test_info(train: Path) -> None:
    lines = done("info", train, "--shape", "7x9").splitlines()
    assert lines[0] == "8 masks, 2 of them empty"
    present = [mask for mask in MASKS if mask.any()]
    table = {line[:14].strip(): line[14:].split() for line in lines[1:6]}
    for name, values in [
        ("area", [int(mask.sum()) for mask in present]),
        ("runs", [len(reference.runs(mask)) for mask in present]),
        ("box height", [int(np.ptp(np.nonzero(mask)[0])) + 1 for mask in present]),
    ]:
        shown = [min(values), round(np.median(values)), round(float(np.mean(values)), 1), max(values)]
        assert list(map(float, table[name])) == shown
    bars = [line.split() for line in lines[7:]]
    shares = [min(int(mask.mean() * 10), 9) for mask in present]
    assert [int(bar[3]) for bar in bars] == [shares.count(number) for number in range(10)]
    assert bars[9] == ["90%", "to", "100%", "2", "#" * 40]


def test_view_draws_a_mask_and_an_overlay(train: Path) -> None:
    out, image = train.with_name("mask.png"), train.with_name("image.png")
    for row in ("6", NAMES[6]):
        out.unlink(missing_ok=True)
        assert f"wrote {out}: 7 x 9, area {MASKS[6].sum()}" in done("view", train, row, "--shape", "7x9", "--out", out)
        np.testing.assert_array_equal(cv2.imread(str(out), cv2.IMREAD_UNCHANGED), MASKS[6] * 255)
    cv2.imwrite(str(image), np.full((14, 18, 3), 100, np.uint8))
    done("view", train, "6", "--shape", "7x9", "--out", out, "--image", image)
    wanted = np.where(np.kron(MASKS[6], np.ones((2, 2)))[..., np.newaxis] != 0, [50, 50, 177], 100)
    np.testing.assert_array_equal(cv2.imread(str(out)), wanted)
    assert refused("view", train, "8", "--shape", "7x9", "--out", out) == f"{train} has no row '8'"
    huge = train.with_name("huge.csv")
    huge.write_text("rle\n1 1\n")
    for shape in ("1000000x1000000", "1x1000001", "0x5"):
        words = f"row 0: a mask of {shape.replace('x', ' x ')} pixels cannot be drawn"
        huge.write_text('rle\n""\n' if shape == "0x5" else "rle\n1 1\n")
        assert refused("view", huge, "0", "--shape", shape, "--out", out) == words
    assert refused("view", train, "6", "--shape", "7x9", "--out", "mask.xyz") == (
        "mask.xyz must end in .png, or another suffix of a picture that OpenCV writes"
    )
    message = f"{train} is no image that OpenCV reads"
    assert refused("view", train, "1", "--shape", "7x9", "--out", out, "--image", train) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "none.csv"], "cloudrle: [Errno 2]"),
        (["view", "train.csv", "0", "--shape", f"{10**9}x{10**9}"], "cloudrle: row 0: a mask of 1000000000 x"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(train: Path, arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "cloudrle.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(cloudrle.__file__).parents[1])}
    finished = subprocess.run(command, cwd=train.parent, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert finished.stderr.startswith(message)
    assert len(finished.stderr.splitlines()) == 1
    assert callable(main)


def test_lists_in_cells_of_csv_are_json(tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text('rle\n"[1, 2, 1]"\n""\n"[1, "\n')
    command = ("convert", path, out, "--shape", "2x2", "--from", "coco-counts", "--to", "kaggle")
    assert refused(*command) == "row 2: wanted a list as JSON, as in [1, 2, 3], got '[1, '"
    path.write_text('rle\n"[1, 2, 1]"\n""\n')
    done(*command, "--missing", "empty")
    assert out.read_text() == 'rle\n2 2\n""\n'


def test_parquet_without_pyarrow_says_what_to_install(train: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = refused("convert", train, train.with_name("out.parquet"), "--shape", "7x9")
    assert message == 'Parquet needs pyarrow: pip install "cloudseg-sdk[arrow]"'


def test_a_row_longer_than_any_is_no_csv(train: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_csv, "_LONGEST", 100)
    train.write_text("Image_Label,EncodedPixels\na_b," + "1 1 " * 30)
    assert refused("check", train, "--shape", "7x9") == f"{train} line 2: more than 100 bytes; is it a CSV file?"


def test_a_parquet_file_that_may_not_be_read_is_named(open_folder: Path) -> None:
    path = open_folder / "in.parquet"
    path.touch(0o000)
    with without_privileges():
        assert re.search(rf"Errno 13.*{path}", refused("check", path, "--shape", "7x9"))


def coco_json(**parts: Any) -> str:
    document: dict[str, Any] = {
        "annotations": [{"image_id": 1, "category_id": 2, "segmentation": {"size": [2, 3], "counts": [0, 6]}}],
        "images": [{"id": 1, "file_name": "a.jpg", "height": 2, "width": 3}],
        "categories": [{"id": 2, "name": "traffic_light"}],
    }
    return json.dumps({**document, **parts})


def test_a_category_with_an_underscore_stays_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(coco_json())
    for target in ("b.json", "c.csv", "d.json"):
        done("convert", path, tmp_path / target, "--shape", "2x3")
        path = tmp_path / target
    assert (tmp_path / "c.csv").read_text() == "image,label,EncodedPixels\na.jpg,traffic_light,1 6\n"
    for target in ("b.json", "d.json"):
        back = json.loads((tmp_path / target).read_text())
        assert back["images"][0]["file_name"] == "a.jpg"
        assert back["categories"][0]["name"] == "traffic_light"
    done("view", tmp_path / "c.csv", "a.jpg_traffic_light", "--shape", "2x3", "--out", tmp_path / "mask.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"annotation": [{"x": 1}]}', "it has no list of annotations (rows of masks are a JSON array)"),
        ("{}", "it has no list of annotations (rows of masks are a JSON array)"),
        (coco_json(images={"id": 1}), "its images must be a list, got {'id': 1}"),
        (coco_json(annotations=None), "its annotations must be a list, got None"),
    ],
)
def test_an_object_that_is_no_coco_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    assert refused("check", path) == f"{path} is no COCO JSON: {message}"


def test_coco_json_without_masks_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(coco_json(annotations=[], info={"year": 2019}))
    assert done("check", path) == "0 of 0 masks are faulty\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"s": 1}] * 3 + [{"s": 0.5}], "column 's' of rows 3 to 3 cannot be written to Parquet: Float value 0.5"),
        ([{"s": None}] * 3 + [{"s": "a"}], "column 's' of rows 3 to 3 cannot be written to Parquet: "),
        (
            [{"s": {"a": 1, "b": 2}}] * 3 + [{"s": {"a": 1}}],
            "column 's' of rows 3 to 3 cannot be written to Parquet: it is struct<a: int64>, but struct<a: int64, b: ",
        ),
        (
            [{"s": 1}] * 3 + [{"s": "5"}],
            "column 's' of rows 3 to 3 cannot be written to Parquet: it is string, but int64",
        ),
        (
            [{"s": "5"}] * 3 + [{"s": 1}],
            "column 's' of rows 3 to 3 cannot be written to Parquet: it is int64, but string",
        ),
        ([{"s": [1]}] * 3 + [{"s": ["1"]}], "column 's' of rows 3 to 3 cannot be written to Parquet: it is list<"),
        ([{"s": 2**70}], "column 's' of rows 0 to 0 cannot be written to Parquet: "),
        ([{"s": {}}], "rows 0 to 0 cannot be written to Parquet: "),
    ],
)
def test_parquet_holds_every_value_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], message: str
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    monkeypatch.setattr(sources, "_BLOCK_ROWS", 3)
    path, out = tmp_path / "a.json", tmp_path / "a.parquet"
    path.write_text(json.dumps([{"rle": "1 1", **row} for row in rows]))
    found = refused("convert", path, out, "--shape", "2x2")
    assert found.startswith(message)
    assert found.endswith("; CSV and JSON hold any values")
    assert not out.exists()


def test_whole_numbers_may_come_as_floats_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    monkeypatch.setattr(sources, "_BLOCK_ROWS", 2)
    path, out = tmp_path / "a.json", tmp_path / "a.parquet"
    rows = [(1, [1]), (2, [2]), (3.0, []), (None, None)]
    path.write_text(json.dumps([{"rle": "1 1", "s": score, "t": items} for score, items in rows]))
    done("convert", path, out, "--shape", "2x2", "--column", "rle")
    table = pytest.importorskip("pyarrow.parquet").read_table(out)
    assert (table["s"].to_pylist(), table["t"].to_pylist()) == ([1, 2, 3, None], [[1], [2], [], None])


def test_text_that_no_format_holds_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"rle": "1 1", "s": "\\ud800"}]')
    for target in ("a.parquet", "a.csv"):
        assert "is no text that UTF-8 can hold" in refused("convert", path, tmp_path / target, "--shape", "2x2")


def test_a_missing_number_is_null_in_json(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pytest.importorskip("pyarrow.parquet")  # a part that is imported by itself
    path, out = tmp_path / "a.parquet", tmp_path / "a.json"
    pyarrow.parquet.write_table(pyarrow.table({"rle": ["1 1"], "s": [float("nan")]}), path)
    done("convert", path, out, "--shape", "2x2", "--format", "json")
    assert json.loads(out.read_text(), parse_constant=pytest.fail) == [{"rle": "1 1", "s": None}]


@pytest.mark.parametrize("sides", ["-2,2", "1_0,2", "2.0,2", f"{10**30},2", ",2"])
def test_a_shape_that_is_none_has_its_row(train: Path, sides: str) -> None:
    path = train.with_name("sides.csv")
    path.write_text(f"rle,height,width\n1 1,2,2\n1 1,{sides}\n")
    height, width = sides.split(",")
    wanted = f"row 1: height and width must be whole numbers of pixels, got {height!r} and {width!r}"
    assert refused("check", path) == wanted


def test_an_image_too_large_for_opencv_is_named(train: Path) -> None:
    path = train.with_name("image.png")
    path.write_bytes(png_claiming(60_000, 60_000))
    message = refused("view", train, "6", "--shape", "7x9", "--out", train.with_name("out.png"), "--image", path)
    assert message == f"{path} is no image that OpenCV reads"


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 20])
def test_json_in_pieces_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    items: list[Any] = [1, 23, -4.5e6, 'x"]\\', {"b": [[]]}]
    document = {"a": items, "c": 1234, "d": {"e": None}, "f": [], "g": True}
    elements = [("a", number, item) for number, item in enumerate(items)]
    members: list[tuple[str, int | None, Any]] = [("c", None, 1234), ("d", None, {"e": None})]
    members += [("f", -1, None), ("g", None, True)]
    wanted = [("a", -1, None), *elements, *members]
    path = tmp_path / "x.json"
    for text in (json.dumps(document), json.dumps(document, indent=3) + " \n"):
        path.write_text(text)
        with path.open() as file:
            assert list(json_stream.pieces(file)) == wanted
    for text in ("[]", " { } "):
        path.write_text(text)
        with path.open() as file:
            assert list(json_stream.pieces(file)) == []
