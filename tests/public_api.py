"""Prints the public API, a line for each name: ``python tests/public_api.py > docs/api.txt``.

It is read from the source, as it stands there: no module is imported, but for the two commands.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
import typer.main

ROOT = Path(__file__).parents[1]
MODULES = ("cloudrle", "cloudrle.coco", "cloudseg_sdk", "cloudseg_sdk.distributed")
# What their calls take and return, and nobody needs to import.
TYPES = (
    "cloudrle.dialects.Dialect",
    "cloudseg_sdk.config.Activation",
    "cloudseg_sdk.config.Encoder",
    "cloudseg_sdk.config.Normalization",
    "cloudseg_sdk.config.Scaling",
    "cloudseg_sdk.config.TTA",
    "cloudseg_sdk.data.readers.Example",
    "cloudseg_sdk.data.sources.Images",
    "cloudseg_sdk.data.sources.Source",
    "cloudseg_sdk.exporting.ExportFormat",
    "cloudseg_sdk.inference.engines.Device",
    "cloudseg_sdk.inference.options.OnError",
    "cloudseg_sdk.inference.options.PerClass",
    "cloudseg_sdk.inference.options.PredictOptions",
    "cloudseg_sdk.inference.parts.BulkReport",
    "cloudseg_sdk.inference.timing.Timing",
    "cloudseg_sdk.metrics.Report",
    "cloudseg_sdk.metrics.Scores",
    "cloudseg_sdk.network.EngineName",
    "cloudseg_sdk.network.Precision",
    "cloudseg_sdk.training.calibrate.Calibration",
    "cloudseg_sdk.training.calibrate.CalibrationStep",
    "cloudseg_sdk.training.config.LossName",
    "cloudseg_sdk.training.config.Schedule",
)
# Python's own protocols, which are no calls that a user writes.
UNLISTED = {"__init__", "__post_init__", "__reduce__", "__slots__", "__array_ufunc__"}


def listing() -> list[str]:
    """The public names of the packages and the options of the commands."""
    from cloudrle.cli import app as cloudrle
    from cloudseg_sdk.cli import app as cloudseg

    loader = griffe.GriffeLoader(search_paths=[ROOT], allow_inspection=False)
    for package in ("cloudrle", "cloudseg_sdk"):
        loader.load(package)
    source = loader.modules_collection
    names = [f"{module}.{name}" for module in MODULES for name in sorted(map(str, source[module].exports))]
    lines = [line for name in (*names, *TYPES) for line in describe(name, source[name])]
    for command, app in (("cloudrle", cloudrle), ("cloudseg", cloudseg)):
        lines += options(command, app)
    return lines


def describe(path: str, item: Any) -> Iterator[str]:
    """The line of a function or attribute; those of a class and its members."""
    item = item.final_target if item.is_alias else item
    if item.is_function:
        yield item.signature(name=path)
    elif item.is_attribute:
        is_alias = str(item.annotation) == "TypeAlias" or path in TYPES
        yield f"{path} = {item.value}" if is_alias else f"{path}: {item.annotation}" if item.annotation else path
    else:
        bases = ", ".join(map(str, item.bases))
        parameters = [parameter.name for parameter in item.parameters]
        yield f"class {item.signature(name=path) if parameters else path}" + (f" of {bases}" if bases else "")
        for name, member in sorted(item.all_members.items()):
            is_private = name.startswith("_") and not (name.startswith("__") and name.endswith("__"))
            if not is_private and name not in UNLISTED and name not in parameters:
                yield from describe(f"{path}.{name}", member)


def options(command: str, app: typer.Typer) -> Iterator[str]:
    """A line for each argument and option of each subcommand, with its default."""
    group: Any = typer.main.get_command(app)
    for name, subcommand in sorted(group.commands.items()):
        yield f"{command} {name}"
        for parameter in subcommand.params:
            shown = "/".join(parameter.opts) if parameter.param_type_name == "option" else parameter.name.upper()
            default = " (required)" if parameter.required else f" = {parameter.default}"
            yield f"{command} {name} {shown}{default}"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in listing()))
