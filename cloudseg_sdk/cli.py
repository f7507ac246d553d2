"""The command ``cloudseg``: demo, train, predict, evaluate, convert, export, doctor."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

import typer

from cloudseg_sdk import __version__
from cloudseg_sdk.errors import CloudsegError

if TYPE_CHECKING:
    from cloudseg_sdk.config import TTA, ModelConfig
    from cloudseg_sdk.exporting import ExportFormat
    from cloudseg_sdk.metrics import Report
    from cloudseg_sdk.segmenter import Segmenter
    from cloudseg_sdk.training.calibrate import Calibration
    from cloudseg_sdk.training.config import TrainConfig

_Config = TypeVar("_Config", "ModelConfig", "TrainConfig")

app = typer.Typer(
    help="Segment satellite scenes: try the demo, train on your labels, predict masks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


EngineOption = Annotated[
    Literal["auto", "keras", "onnxruntime", "openvino"],
    typer.Option(help="What runs the network; auto is OpenVINO where it can be, and Keras on a GPU."),
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="bfloat16 takes about half the time where there is hardware for it; auto is float32."),
]
DeviceOption = Annotated[
    Literal["cpu", "gpu"] | None, typer.Option(help="Default: what the engine likes best.", show_default=False)
]
DataOption = Annotated[Path, typer.Option(help="Folder with train.csv and train_images/.", show_default=False)]
TTAOption = Annotated[
    Literal["none", "flips"] | None,
    typer.Option(help="flips averages over mirror images, four times as slow; default: as calibrated."),
]
LabelShapeOption = Annotated[str, typer.Option(help="HEIGHTxWIDTH of the grid the labels were drawn on.")]
ModelArgument = Annotated[str, typer.Argument(help='A .cloudseg file, or "clouds".', show_default=False)]


def main() -> None:
    """Run the command line; an error is one line on stderr and exit code 1 (2 for wrong usage)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's start-up notes, unless the user wants them
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # its lines on damaged images: the error says it all
    try:
        app()
    except (CloudsegError, OSError, ValueError) as error:
        sys.exit(f"cloudseg: {error}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("cloudseg-demo"),
    count: Annotated[int, typer.Option(min=1, max=1000, help="Number of scenes.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other scenes.")] = 0,
) -> None:
    """Make synthetic scenes and predict masks for them with the shipped model.

    Example: `cloudseg demo --out demo --count 8`
    """
    import cv2

    from cloudrle._files import atomic_path
    from cloudseg_sdk.segmenter import Segmenter
    from cloudseg_sdk.synthetic import scene

    scenes = []
    for number in range(count):
        path = out / "scenes" / f"scene{number}.jpg"
        with atomic_path(path) as temporary:
            cv2.imwrite(str(temporary), scene(seed + number, (700, 1050)).image[:, :, ::-1])
        scenes.append(path)
    typer.echo(f"wrote {count} synthetic scenes to {out / 'scenes'}")
    _predict(Segmenter.load("clouds"), scenes, out)


@app.command()
def train(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The .cloudseg file to write.", show_default=False)],
    preset: Annotated[
        Literal["default", "notebook"], typer.Option(help="Network and training; what follows changes parts of it.")
    ] = "default",
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the network's input.")] = None,
    filters: Annotated[str | None, typer.Option(help="Filters of each level, such as 16,32,64,128,256.")] = None,
    output_stride: Annotated[int | None, typer.Option(help="Input size over map size: 1, 2 or 4.")] = None,
    encoder: Annotated[str | None, typer.Option(help="unetpp, efficientnetlite0 or one of keras.applications.")] = None,
    encoder_weights: Annotated[str | None, typer.Option(help="Of the encoder: imagenet, or a file.")] = None,
    presence_head: Annotated[
        bool | None, typer.Option("--presence-head", help="Also predict whether a class is there at all.")
    ] = None,
    label_shape: LabelShapeOption = "1400x2100",
    epochs: Annotated[int | None, typer.Option()] = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest of the schedule.")] = None,
    loss: Annotated[
        str | None, typer.Option(help="dice, bce_dice, bce_positive_dice, tversky, focal_tversky or lovasz.")
    ] = None,
    presence_weight: Annotated[float | None, typer.Option(help="Of the presence head in the loss.")] = None,
    ema: Annotated[
        float | None, typer.Option(help="Share that a step keeps of the averaged weights; 0: no average.")
    ] = None,
    encoder_rate: Annotated[float | None, typer.Option(help="The encoder's learning rate over the others'.")] = None,
    frozen_stages: Annotated[
        int | None, typer.Option(help="Encoder stages that stay, with all its batch statistics.")
    ] = None,
    keep: Annotated[str | None, typer.Option(help="best or last: the epoch whose weights are kept.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without a better score.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder to keep the run in; goes on with the one that is there.")
    ] = None,
    devices: Annotated[int, typer.Option(help="GPUs, or other devices, that share each batch.")] = 1,
    tta: Annotated[
        Literal["none", "flips"], typer.Option(help="flips: calibrate for the average over mirror images.")
    ] = "none",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of split, weights, order and augmentation.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Folder to keep decoded images in for the next run.")] = None,
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="How weights are stored.")] = "float32",
) -> None:
    """Train a network on your own labels, calibrate it, score it, and save it.

    80% of the images train, 10% choose the best epoch and the thresholds, 10% are held out for the score that is
    printed and saved. Ctrl-C ends training early and keeps what `--keep` says; with --checkpoint a run that was killed
    goes on as if it had not been. What is not given is as in the preset: `ModelConfig` and `TrainConfig` have the
    values. Needs the extra `tensorflow`.

    Example: `cloudseg train --data clouds/ --out model.cloudseg --size 128x192 --epochs 10`
    """
    from cloudseg_sdk.config import ModelConfig
    from cloudseg_sdk.data.dataset import CloudDataset
    from cloudseg_sdk.segmenter import Segmenter
    from cloudseg_sdk.training.config import TrainConfig

    notebook = preset == "notebook"
    network = _changed(
        ModelConfig.notebook() if notebook else ModelConfig(),
        input_size=None if size is None else _parse_size(size),
        filters=None if filters is None else _parse_numbers(filters),
        output_stride=output_stride,
        encoder=encoder,
        presence_head=presence_head,
    )
    _require_parent(out, "model.cloudseg")
    dataset = CloudDataset.from_kaggle(data, _parse_size(label_shape))
    segmenter = Segmenter.build(network, seed=seed, encoder_weights=encoder_weights)
    import keras  # here, because build explains what to install where it is missing

    from cloudseg_sdk.training.fit import Interrupted

    training = _changed(
        TrainConfig.notebook() if notebook else TrainConfig(),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        loss=loss,
        presence_weight=presence_weight,
        ema=ema,
        encoder_rate=encoder_rate,
        frozen_stages=frozen_stages,
        keep=keep,
        patience=patience,
        seed=seed,
    )
    if cache is not None:
        dataset = dataset.cache(network.input_size, cache)
    learned, rest = dataset.split(validation=0.2, seed=seed)
    validation, held_out = rest.split(validation=0.5, seed=seed)
    typer.echo(f"{len(learned):,} images to train on, {len(validation):,} to calibrate on, {len(held_out):,} held out")

    try:
        history = segmenter.fit(learned, validation, training, devices=devices, checkpoint=checkpoint)
    except Interrupted as interrupt:
        history = interrupt.history
        typer.echo("\ninterrupted: going on with the weights kept so far")
    plain = segmenter.evaluate(held_out)
    calibration = segmenter.calibrate(validation, tta=tta)
    report = segmenter.evaluate(held_out)
    segmenter.save(
        out,
        dtype=dtype,
        metrics={
            "held_out": report.to_dict(),
            "held_out_uncalibrated": plain.to_dict(),
            "calibration": calibration.to_dict(),
            "history": history,
        },
        provenance={
            "images": {"training": len(learned), "calibration": len(validation), "held_out": len(held_out)},
            "training": {**training.to_dict(), "encoder_weights": encoder_weights, "devices": devices},
            "versions": {"cloudseg-sdk": __version__, "keras": keras.__version__, "backend": keras.backend.backend()},
        },
    )
    _print_calibration(calibration)
    typer.echo(f"on the held-out images before calibration: {plain.dice:.4f}; after it:")
    _print_report(report)
    typer.echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")


@app.command()
def predict(
    model: ModelArgument,
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="Folder to write; one that ends in .parquet or .csv is a bulk job.", show_default=False)
    ],
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    device: DeviceOption = None,
    tta: TTAOption = None,
    shard: Annotated[str | None, typer.Option(help="NUMBER/COUNT: do this share of a bulk job, 0/4 to 3/4.")] = None,
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of a bulk job's masks; default: the images'.")] = None,
) -> None:
    """Predict masks: writes overlays/*.png, predictions.csv, and submission.csv at 350 x 525.

    Bulk jobs, of any number of images: `--out masks.parquet` or `--out masks.csv` writes a folder of tables in parts,
    and nothing else. The same command again goes on after a crash. `--shard 0/4` does the first quarter, so that
    machines that share a disk do one each.

    An image that cannot be read is a row with its error, and makes the exit code 1.

    Example: `cloudseg predict clouds scenes/ --out out/`
    """
    from cloudseg_sdk.data.images import list_images
    from cloudseg_sdk.segmenter import Segmenter

    is_bulk = out.suffix in (".parquet", ".csv")
    if not is_bulk and (shard is not None or size is not None):
        raise typer.BadParameter(f"--shard and --size are of bulk jobs, to a folder .parquet or .csv; got --out {out}")
    share = (0, 1) if shard is None else _parse_shard(shard)
    output_size = None if size is None else _parse_size(size)
    segmenter = Segmenter.load(model, engine=engine, precision=precision, device=device)
    paths = [path for image in images for path in (list_images(image) if image.is_dir() else [image])]
    if is_bulk:
        _predict_bulk(segmenter, paths, out, tta=tta, output_size=output_size, shard=share)
    else:
        _predict(segmenter, paths, out, tta)


@app.command()
def evaluate(
    model: ModelArgument,
    data: DataOption,
    label_shape: LabelShapeOption = "1400x2100",
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    device: DeviceOption = None,
    tta: TTAOption = None,
    report: Annotated[
        Path | None, typer.Option(help="HTML page to write: curves, worst and best scenes.", show_default=False)
    ] = None,
) -> None:
    """Score a model with the competition's metric: mean Dice over image-class pairs at 350 x 525.

    Example: `cloudseg evaluate model.cloudseg --data clouds/ --report report.html`
    """
    from cloudseg_sdk.data.dataset import CloudDataset
    from cloudseg_sdk.segmenter import Segmenter

    segmenter = Segmenter.load(model, engine=engine, precision=precision, device=device)
    if report is not None:
        _require_parent(report, "report.html")
    dataset = CloudDataset.from_kaggle(data, _parse_size(label_shape), segmenter.classes)
    _print_report(segmenter.evaluate(dataset, tta=tta, report=report))
    if report is not None:
        typer.echo(f"wrote {report}")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="HDF5 file of Keras 2.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="The .cloudseg file to write.", show_default=False)],
    classes: Annotated[str, typer.Option(help="Names, in the order of the channels.")] = "Fish,Flower,Gravel,Sugar",
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the input, where the file has another.")] = None,
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="How weights are stored.")] = "float32",
) -> None:
    """Convert what the notebook saved: a whole model, or weights alone. Needs the extra `tensorflow`.

    Thresholds are 0.5 until they are calibrated on your labels.

    Example: `cloudseg convert nested_unet.h5 model.cloudseg`
    """
    from cloudseg_sdk.segmenter import Segmenter

    _require_parent(target, "model.cloudseg")
    input_size = None if size is None else _parse_size(size)
    segmenter = Segmenter.from_legacy(source, classes=tuple(classes.split(",")), input_size=input_size)
    segmenter.save(target, dtype=dtype, provenance={"converted_from": source.name})
    height, width = segmenter.config.input_size
    typer.echo(
        f"{source.name}: {len(segmenter.config.filters)} levels, {segmenter.model.count_params():,} parameters, "
        f"{height} x {width} pixels, classes {', '.join(segmenter.classes)}"
    )
    typer.echo(f"wrote {target} ({target.stat().st_size / 1e6:.1f} MB)")


@app.command()
def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Argument(help="model.onnx, model.xml (OpenVINO), or a new folder (SavedModel).")],
) -> None:
    """Write a model for other programs, after checking that it gives the same maps.

    It takes uint8 RGB images (N, H, W, 3) of the network's size, and gives class maps in [0, 1]. `cloudseg predict`
    takes ONNX and OpenVINO files too. ONNX needs the extra `onnx`, SavedModel the extra `tensorflow`.

    Example: `cloudseg export clouds clouds.onnx`
    """
    from cloudseg_sdk.segmenter import Segmenter

    format = {".onnx": "onnx", ".xml": "openvino"}.get(out.suffix, "saved_model")  # noqa: A001
    found = Segmenter.load(model).export(out, format=cast("ExportFormat", format))
    typer.echo(f"wrote {out}; its maps differ by at most {found:.1e}")


@app.command()
def doctor() -> None:
    """Show versions, Keras backend, devices, engines and SIMD level, and what is wrong with them.

    Example: `cloudseg doctor`
    """
    from cloudseg_sdk.doctor import examine

    findings = examine()
    width = max(len(name) for name, _ in findings.facts)
    for name, value in findings.facts:
        typer.echo(f"{name:<{width}}  {value}")
    for fault in findings.faults:
        typer.echo(f"warning: {fault}", err=True)


def _predict(segmenter: Segmenter, images: list[Path], out: Path, tta: TTA | None = None) -> None:
    """Predict, write everything into `out`, and say so."""
    from rich.progress import track

    from cloudseg_sdk.inference.prediction import Predictions
    from cloudseg_sdk.metrics import METRIC_SIZE

    doubled = [stem for stem, count in Counter(path.stem for path in images).items() if count > 1]
    if doubled:
        raise CloudsegError(f"two images are named {doubled[0]}; their overlays would overwrite each other")
    predicted = []
    stream = segmenter.stream(images, output_size=METRIC_SIZE, tta=tta)
    for prediction in track(stream, "predicting", total=len(images), transient=True):
        predicted.append(prediction)
        if prediction.error is None:
            prediction.save_overlay(out / "overlays" / f"{Path(prediction.source).stem}.png")
    predictions = Predictions(tuple(predicted))
    good = Predictions(tuple(item for item in predicted if item.error is None))
    predictions.to_csv(out / "predictions.csv")
    good.to_submission(out / "submission.csv")

    for item in good:
        found = [
            f"{name} {rle.area / (rle.shape[0] * rle.shape[1]):.0%}"
            for name, rle in zip(item.classes, item.rles, strict=True)
            if rle.area
        ]
        typer.echo(f"{Path(item.source).name}: {', '.join(found) or 'nothing'}")
    typer.echo(
        f"wrote {len(good)} overlays, predictions.csv and submission.csv "
        f"({METRIC_SIZE[0]} x {METRIC_SIZE[1]}) to {out} with the {segmenter.engine} engine"
    )
    if predictions.errors:
        for item in predictions.errors:
            typer.echo(f"error: {item.error}", err=True)
        raise typer.Exit(1)


def _predict_bulk(segmenter: Segmenter, images: list[Path], out: Path, **options: Any) -> None:
    try:
        report = segmenter.predict_to(out, images, **options)
    except KeyboardInterrupt:
        typer.echo(f"interrupted: finished parts are kept in {out}; the same command goes on", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"{out}: {report.rows:,} rows of {report.images:,} images, with the {segmenter.engine} engine")
    if report.errors:
        typer.echo(f"error: {report.errors:,} images could not be read; the column error says why", err=True)
        raise typer.Exit(1)


def _print_report(report: Report) -> None:
    def cell(value: float | None) -> str:
        return f"{'-' if value is None else f'{value:.4f}':>10}"

    typer.echo(f"mean Dice {report.dice:.4f} on {report.images:,} images (predicting nothing: {report.empty_dice:.4f})")
    typer.echo(f"  {'':<12}{'Dice':>10}{'nothing':>10}{'present':>10}{'precision':>10}{'recall':>10}")
    for name, of in {"all": report, **report.by_class}.items():
        values = (of.dice, of.empty_dice, of.present_dice, of.presence_precision, of.presence_recall)
        typer.echo(f"  {name:<12}{''.join(cell(value) for value in values)}")


def _print_calibration(calibration: Calibration) -> None:
    typer.echo(f"calibrated on {calibration.images:,} images; mean Dice there, and cross-fitted:")
    for step in calibration.steps:
        crossed = "-" if step.cross_fitted is None else f"{step.cross_fitted:.4f}"
        typer.echo(f"  {step.name:<12}{step.dice:>10.4f}{crossed:>10}")


def _changed(preset: _Config, **values: Any) -> _Config:
    """Replace what was given; the record says what is wrong with it."""
    return replace(preset, **{name: value for name, value in values.items() if value is not None})


def _parse_size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"wanted HEIGHTxWIDTH such as 256x384, got {text!r}")
    return int(parts[0]), int(parts[1])


def _parse_shard(text: str) -> tuple[int, int]:
    parts = text.split("/")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"wanted NUMBER/COUNT such as 0/4, got {text!r}")
    return int(parts[0]), int(parts[1])


def _parse_numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(f"wanted whole numbers with commas such as 16,32,64, got {text!r}")
    return tuple(int(part) for part in parts)


def _require_parent(path: Path, example: str) -> None:
    """Fail before hours of work where its result could not be written."""
    if path.is_dir():
        raise CloudsegError(f"{path} is a folder; give the file to write, such as {path / example}")
    path.parent.mkdir(parents=True, exist_ok=True)
