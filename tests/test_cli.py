"""The command line as its users meet it, in this process but for one test."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from cloudrle import RLE
from cloudseg_sdk import CloudDataset, ModelConfig, Segmenter, TrainConfig
from cloudseg_sdk.cli import main
from cloudseg_sdk.config import TTA
from cloudseg_sdk.synthetic import write_dataset

Run = Callable[..., object]

TINY = ("--size", "32x48", "--filters", "4,6,8", "--label-shape", "140x210", "--epochs", "1")


@pytest.fixture
def cloudseg(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``cloudseg`` with arguments; return its exit code, or the one line that it died with."""

    def run(*arguments: str | Path) -> object:
        monkeypatch.setattr(sys, "argv", ["cloudseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data", 12, size=(70, 105), label_shape=(140, 210))
    return tmp_path / "data"


def submitted(path: Path) -> pd.DataFrame:
    """Read a submission as the competition does, and decode every mask."""
    table = pd.read_csv(path, keep_default_na=False)
    assert list(table.columns) == ["Image_Label", "EncodedPixels"]
    for text in table["EncodedPixels"]:
        RLE.from_kaggle(text, (350, 525))
    return table


def test_demo_writes_scenes_overlays_and_a_submission(
    cloudseg: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cloudseg("demo", "--out", tmp_path, "--count", "2") == 0
    assert sorted(path.name for path in (tmp_path / "scenes").iterdir()) == ["scene0.jpg", "scene1.jpg"]
    assert sorted(path.name for path in (tmp_path / "overlays").iterdir()) == ["scene0.png", "scene1.png"]
    assert cv2.imread(str(tmp_path / "overlays" / "scene0.png")) is not None
    assert len(submitted(tmp_path / "submission.csv")) == 2 * 4
    printed = capsys.readouterr().out
    assert "wrote 2 synthetic scenes" in printed
    assert "openvino" in printed


def test_train_then_predict_then_evaluate(
    cloudseg: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tmp_path / "models" / "m.cloudseg", tmp_path / "out"
    assert cloudseg("train", "--data", data, "--out", model, "--cache", tmp_path / "cache", *TINY) == 0
    assert list((tmp_path / "cache").iterdir())
    printed = capsys.readouterr().out
    assert "10 images to train on, 1 to calibrate on, 1 held out" in printed
    assert "mean Dice" in printed
    saved = Segmenter.load(model)
    assert saved.engine == "openvino"
    assert saved.metrics["held_out"]["images"] == 1
    assert saved.provenance["images"] == {"training": 10, "calibration": 1, "held_out": 1}

    assert cloudseg("predict", model, data / "train_images", "--out", out) == 0
    assert len(list((out / "overlays").glob("*.png"))) == 12
    assert len(submitted(out / "submission.csv")) == 12 * 4
    assert len(pd.read_csv(out / "predictions.csv")) == 12 * 4

    report = tmp_path / "reports" / "report.html"
    arguments = ("--data", data, "--label-shape", "140x210", "--report", report)
    assert cloudseg("evaluate", model, *arguments) == 0
    printed = capsys.readouterr().out
    assert "on 12 images" in printed
    scores = saved.evaluate(CloudDataset.from_kaggle(data, (140, 210)))
    for name, one in {"all": scores, **scores.by_class}.items():
        assert f"  {name:<12}{one.dice:>10.4f}{one.empty_dice:>10.4f}" in printed
    assert f"{scores.dice:.4f}" in report.read_text(encoding="utf-8")


def test_flips_are_asked_for_or_remembered(
    cloudseg: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.cloudseg"
    assert cloudseg("train", "--data", data, "--out", model, *TINY, "--tta", "flips") == 0
    assert "calibrated on 1 images" in capsys.readouterr().out
    saved = Segmenter.load(model)
    assert saved.decision.tta == saved.metrics["calibration"]["decision"]["tta"] == "flips"
    assert [step["name"] for step in saved.metrics["calibration"]["steps"]][-1] == "min_area"
    images = sorted((data / "train_images").iterdir())
    cases: tuple[tuple[tuple[str, ...], TTA], ...] = (((), "flips"), (("--tta", "none"), "none"))
    for arguments, tta in cases:
        assert cloudseg("predict", model, data / "train_images", "--out", tmp_path / "out", *arguments) == 0
        table = pd.read_csv(tmp_path / "out" / "predictions.csv")
        wanted = [item.scores for item in saved.predict(images, tta=tta)]
        np.testing.assert_allclose(table["score"], np.ravel(wanted), atol=1e-5)


def test_the_notebooks_preset_is_its_network_and_its_training(cloudseg: Run, data: Path, tmp_path: Path) -> None:
    model = tmp_path / "notebook.cloudseg"
    assert cloudseg("train", "--data", data, "--out", model, "--preset", "notebook", *TINY, "--batch-size", "2") == 0
    saved = Segmenter.load(model)
    assert saved.config == replace(ModelConfig.notebook(), input_size=(32, 48), filters=(4, 6, 8))
    wanted = replace(TrainConfig.notebook(), epochs=1, batch_size=2).to_dict()
    assert saved.provenance["training"] == json.loads(json.dumps({**wanted, "encoder_weights": None, "devices": 1}))


def test_interrupted_training_goes_on_with_the_weights_kept_so_far(cloudseg: Run, data: Path, tmp_path: Path) -> None:
    history, model = tmp_path / "run" / "history.csv", tmp_path / "model.cloudseg"
    size = ("--size", "32x48", "--filters", "4,6,8", "--label-shape", "140x210")
    command = ("train", "--data", data, "--out", model, *size, "--epochs", "5000", "--checkpoint", history.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "cloudseg_sdk", *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )
    while not history.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    words, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    assert "interrupted: going on with the weights kept so far" in words
    assert len(history.read_text().splitlines()) < 5000
    saved, written = Segmenter.load(model).metrics["history"], pd.read_csv(history, dtype=str)
    assert list(saved) == ["loss", "val_loss", "val_dice"]
    for name, values in saved.items():
        assert values[: len(written)] == written[name].map(float).tolist()
    assert cloudseg("evaluate", model, "--data", data, "--label-shape", "140x210") == 0


def test_a_run_in_a_checkpoint_is_gone_on_with(cloudseg: Run, data: Path, tmp_path: Path) -> None:
    options = [*TINY, "--encoder", "efficientnetlite0", "--presence-head", "--presence-weight", "0.3", "--ema", "0.9"]
    options += [
        "--encoder-rate",
        "0.3",
        "--frozen-stages",
        "1",
        "--patience",
        "3",
        "--checkpoint",
        str(tmp_path / "run"),
    ]
    for name in ("first", "again"):
        assert cloudseg("train", "--data", data, "--out", tmp_path / f"{name}.cloudseg", *options) == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["history.csv", "kept.npz", "last.npz"]
    first, again = (Segmenter.load(tmp_path / f"{name}.cloudseg") for name in ("first", "again"))
    assert (first.config.encoder, first.config.presence_head) == ("efficientnetlite0", True)
    assert first.metrics == again.metrics
    assert first.provenance["training"]["encoder_rate"] == 0.3
    changed = cloudseg("train", "--data", data, "--out", tmp_path / "m.cloudseg", *options, "--ema", "0.5")
    assert changed == (
        f"cloudseg: {tmp_path / 'run'} holds a run with ema=0.9, not 0.5; give another folder, or call it as before"
    )


def test_an_unreadable_image_is_named_and_the_others_are_predicted(
    cloudseg: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = data / "train_images"
    (images / "broken.jpg").write_bytes(b"no picture")
    assert cloudseg("predict", "clouds", images, "--out", tmp_path / "out") == 1
    assert "broken.jpg is damaged or not an image" in capsys.readouterr().err
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table["error"].notna().sum() == 1
    assert len(submitted(tmp_path / "out" / "submission.csv")) == 12 * 4


def test_a_bulk_job_writes_tables_by_shards_and_names_how_many_failed(
    cloudseg: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = data / "train_images", tmp_path / "masks.parquet"
    (images / "zz_broken.jpg").write_bytes(b"no picture")
    command = ("predict", "clouds", images, "--out", out, "--size", "35x53")
    assert cloudseg(*command, "--shard", "0/2") == 0
    assert f"{out}: 24 rows of 6 images, with the openvino engine" in capsys.readouterr().out
    assert cloudseg(*command, "--shard", "1/2") == 1
    shown = capsys.readouterr()
    assert f"{out}: 25 rows of 7 images, with the openvino engine" in shown.out
    assert shown.err == "error: 1 images could not be read; the column error says why\n"
    table = pd.read_parquet(out)
    assert table["source"].unique().tolist() == [str(path) for path in sorted(images.iterdir())]
    assert table[["height", "width"]].dropna().drop_duplicates().to_numpy().tolist() == [[35, 53]]
    assert cloudseg(*command[:-2], "--shard", "0/2") == (
        f"cloudseg: {out} holds a job with output_size=[35, 53], not None; give another folder, or call it as before"
    )


def test_an_interrupted_bulk_job_says_how_to_go_on(cloudseg: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks.csv"
    command = ("predict", "clouds", *[data / "train_images"] * 10, "--out", out)
    process = subprocess.Popen(
        [sys.executable, "-m", "cloudseg_sdk", *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (out / "_manifest-0-of-1.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)  # for the first of 120 images
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert (process.returncode, words.splitlines()[-1]) == (
        130,
        f"interrupted: finished parts are kept in {out}; the same command goes on",
    )
    assert cloudseg(*command) == 0
    assert len(pd.read_csv(out / "part-0000-000000.csv")) == 10 * 12 * 4


def test_two_images_of_one_name_are_refused_before_any_work(cloudseg: Run, data: Path, tmp_path: Path) -> None:
    image = next((data / "train_images").iterdir())
    message = cloudseg("predict", "clouds", image, image, "--out", tmp_path / "out")
    assert message == f"cloudseg: two images are named {image.stem}; their overlays would overwrite each other"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("predict", "gone.cloudseg", ".", "--out", "o"),
            "no model 'gone.cloudseg'; wanted a .cloudseg file or one of",
        ),
        (("predict", "clouds", "gone.jpg", "--out", "o"), 1),
        (("predict", "clouds", "empty", "--out", "o"), "no images in empty; wanted files ending in .bmp"),
        (
            ("evaluate", "clouds", "--data", "gone", "--report", "empty"),
            "empty is a folder; give the file to write, such as empty/report.html",
        ),
        (("evaluate", "clouds", "--data", "gone", "--tta", "hflip"), 2),
        (("evaluate", "clouds", "--data", "gone"), "cannot read gone/train.csv: No such file or directory"),
        (("train", "--data", "gone", "--out", "m.cloudseg"), "cannot read gone/train.csv: No such file or directory"),
        (
            ("train", "--data", "gone", "--out", "empty"),
            "empty is a folder; give the file to write, such as empty/model",
        ),
        (
            ("train", "--data", "gone", "--out", "m", "--size", "30x48"),
            "input_size must be (height, width) in multiples",
        ),
        (("train", "--data", "gone", "--out", "m", "--size", "big"), 2),
        (("train", "--data", "gone", "--out", "m", "--filters", "16,,32"), 2),
        (("train", "--data", "gone", "--out", "m", "--seed", "-1"), 2),
        (("train", "--data", "gone", "--out", "m", "--seed", "4294967296"), 2),
        (("demo", "--seed", "-1"), 2),
        (("train", "--data", "gone"), 2),
        (("predict", "clouds"), 2),
        (("predict", "clouds", "a.jpg", "--out", "o", "--shard", "0/2"), 2),
        (("predict", "clouds", "a.jpg", "--out", "o", "--size", "35x53"), 2),
        (("predict", "clouds", "a.jpg", "--out", "o.csv", "--shard", "0:2"), 2),
        (
            ("predict", "clouds", "a.jpg", "--out", "o.csv", "--shard", "2/2"),
            "shard must be (number, count) with a number from 0 to count - 1, got (2, 2)",
        ),
        (("dance",), 2),
    ],
)
def test_faults_are_one_line_and_an_exit_code(
    cloudseg: Run,
    arguments: tuple[str, ...],
    message: str | int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code = cloudseg(*arguments)
    if isinstance(message, int):
        assert code == message
        assert "Traceback" not in capsys.readouterr().err
    else:
        assert isinstance(code, str)
        assert code.startswith(f"cloudseg: {message}")
        assert "\n" not in code


@pytest.mark.parametrize("command", ["demo", "train", "predict", "evaluate", "doctor"])
def test_help_shows_an_example(cloudseg: Run, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cloudseg(command, "--help") == 0
    assert f"cloudseg {command}" in capsys.readouterr().out.replace("\n", " ")


def test_doctor_knows_versions_engines_and_simd_level(cloudseg: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cloudseg("doctor") == 0
    facts = capsys.readouterr().out
    for name in ("Python", "numpy", "openvino", "Keras backend", "SIMD level", "engines"):
        assert name in facts


def test_doctor_says_what_is_missing(
    cloudseg: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("openvino", "onnxruntime", "keras"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("cloudseg_sdk.doctor.installed_version", lambda package: "5.0")
    assert cloudseg("doctor") == 0
    facts, faults = capsys.readouterr()
    assert re.search(
        r"Keras backend +none \(import of keras halted; .*to train: pip install .cloudseg-sdk\[tensorflow\]", facts
    )
    assert re.search(r"^engines +none$", facts, re.MULTILINE)
    broken, twice = faults.splitlines()
    assert broken.startswith("warning: the openvino engine does not work: import of openvino halted")
    assert twice.startswith("warning: opencv-python and opencv-python-headless are both installed and overwrite")


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "cloudseg_sdk", "--help"], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout


def test_convert_makes_a_bundle_of_the_notebooks_file(
    cloudseg: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixture = Path(__file__).parent / "fixtures" / "legacy" / "weights.h5.gz"
    (tmp_path / "nested_unet.h5").write_bytes(gzip.decompress(fixture.read_bytes()))
    target = tmp_path / "out" / "model.cloudseg"
    assert cloudseg("convert", tmp_path / "nested_unet.h5", target, "--size", "16x32", "--classes", "a,b,c,d") == 0
    segmenter = Segmenter.load(target)
    assert segmenter.classes == ("a", "b", "c", "d")
    assert segmenter.config.input_size == (16, 32)
    assert segmenter.provenance == {"converted_from": "nested_unet.h5"}
    printed = capsys.readouterr().out
    assert "nested_unet.h5: 5 levels, 4,075 parameters, 16 x 32 pixels, classes a, b, c, d" in printed
    assert f"wrote {target}" in printed
    (tmp_path / "nested_unet.h5").write_bytes(b"no HDF5")
    assert "cannot read" in str(cloudseg("convert", tmp_path / "nested_unet.h5", target))
