"""The ``.cloudseg`` file: a zip of a manifest, named weights and an ONNX graph.

``manifest.json``
    Format version, configuration, decision, metrics, provenance, and the SHA-256 of every other part.
``weights.npz``
    One array for each variable, named by its path. No pickles: NumPy refuses them on reading.
``model.onnx``
    The serving graph: uint8 RGB in; out come the class maps of each head, and presence. Its kernels are not in it but
    those of ``weights.npz``, by name (:func:`cloudseg_sdk.graph.fill_graph`). Absent where the saving machine could not
    export one.

An ensemble has its members in place of the latter two, ``member1.cloudseg`` and so on, each a whole file.

Reading runs no code from the file, opens no other file, and checks each part's hash before using it. Parts are read
into memory and never written, so that their names lead nowhere; what they take there goes with the file's own size.

A new field of the manifest or another output of the graph raises the format version. Every release reads all versions
up to its own: `_ADDED` says what a field that an older file lacks stands for.

1. The graph's one output is the last head.
2. The graph has every head by name (``maps_1``, ...), and ``presence``, unless it was taken over from a file of
   version 1. New are the fields of `_ADDED`.
3. The graph takes its kernels from the weights, unless it was taken over from an older file. New is ``parity``: how far
   each engine's maps were from Keras' when the file was written.
"""

from __future__ import annotations

import hashlib
import io
import json
import reprlib
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cloudrle import __version__
from cloudrle._files import atomic_path
from cloudseg_sdk.config import Decision, ModelConfig, check_members
from cloudseg_sdk.errors import BundleError, ConfigError
from cloudseg_sdk.graph import check_alone, fill_graph, strip_graph

SHIPPED = ("clouds",)  # models that come with the package
FORMAT_VERSION = 3
# What a field of the manifest stands for in files older than it, by the version that it came with.
_ADDED: dict[int, dict[str, Any]] = {
    2: {"config": {"encoder": "unetpp", "presence_head": False}, "decision": {"tta": "none"}, "members": 0},
    3: {"parity": {}},
}
MANIFEST, WEIGHTS, GRAPH = "manifest.json", "weights.npz", "model.onnx"
# Kernels shrink by a tenth, a manifest to a tenth. Deflate could make a thousand bytes of one, and of those a million.
MAX_INFLATION = 20
MAX_MANIFEST_BYTES = 16 << 20  # as Python's objects its JSON takes twenty times that


@dataclass(frozen=True)
class Bundle:
    """A saved model, in memory.

    Parameters
    ----------
    config, decision
        The network, and how its maps become masks.
    weights
        By the path of their variable.
    graph
        ONNX bytes with all that it needs, or None.
    metrics, provenance
        JSON objects (:func:`check_json`) that describe how good the model is and where it comes from.
    parity
        See :func:`cloudseg_sdk.parity.measure_parity`; empty in files of versions 1 and 2.
    graph_data
        Where `graph` is an OpenVINO model's ``.xml``, its ``.bin``; never in a ``.cloudseg`` file.
    members
        Those of an ensemble, which has no weights and no graph of its own, and the first one's configuration.
    """

    config: ModelConfig
    decision: Decision
    weights: Mapping[str, NDArray[np.floating[Any]]]
    graph: bytes | None
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    graph_data: bytes = b""
    members: tuple[Bundle, ...] = ()


def check_json(name: str, value: object) -> None:
    """Raise where `value` is no JSON object, or JSON would give it back with other keys."""
    if not isinstance(value, dict):
        raise BundleError(f"{name} must be a JSON object, a dict with text for keys; got {reprlib.repr(value)}")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError(f"{name} must hold JSON values: {error}") from error
    for key in _keys(value):
        if not isinstance(key, str):
            raise BundleError(f"{name} must have text for keys, which JSON would make of {key!r}")


def _keys(value: object) -> Iterator[object]:
    """Yield the keys of all dicts in a JSON value."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _keys(part)


def write_bundle(path: Path, bundle: Bundle, dtype: Literal["float32", "float16"]) -> None:
    """Write `bundle` whole or not at all, with its kernels stored as `dtype`."""
    data = _pack(bundle, dtype)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _pack(bundle: Bundle, dtype: Literal["float32", "float16"]) -> bytes:
    if bundle.members:
        parts = {_member_name(number): _pack(member, dtype) for number, member in enumerate(bundle.members)}
    else:
        parts = {WEIGHTS: _pack_weights(bundle.weights, dtype)}
        if bundle.graph is not None:
            parts[GRAPH] = strip_graph(bundle.graph, bundle.weights)
    manifest = {
        "format_version": FORMAT_VERSION,
        "written_by": f"cloudseg-sdk {__version__}",
        "image": {"channel_order": "RGB", "dtype": "uint8", "size": list(bundle.config.input_size)},
        "weights_dtype": dtype,
        "config": bundle.config.to_dict(),
        "decision": bundle.decision.to_dict(),
        "members": len(bundle.members),
        "metrics": bundle.metrics,
        "provenance": bundle.provenance,
        "parity": bundle.parity,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()},
    }
    text = json.dumps(manifest, indent=2, allow_nan=False)
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"metrics and provenance take {len(text):,} bytes as JSON, wanted at most {MAX_MANIFEST_BYTES:,}; keep "
            "such tables in files of their own"
        )
    file = io.BytesIO()
    # Nothing is compressed: kernels, nearly all of the bytes, shrink by a tenth, and inflating them takes as long as
    # the rest of reading.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(MANIFEST, text)
        for name, data in parts.items():
            archive.writestr(name, data)
    return file.getvalue()


def find_bundle(model: str | Path) -> Path:
    """Return the path of a model that comes with the package, by its name, or of a file."""
    if isinstance(model, str) and model in SHIPPED:
        return Path(__file__).with_name("bundles") / f"{model}.cloudseg"
    path = Path(model)
    if not path.is_file():
        raise BundleError(f"no model {str(model)!r}; wanted a .cloudseg file or one of {', '.join(SHIPPED)}")
    return path


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle.

    Raises
    ------
    BundleError
        Where the file cannot be read, or a part is missing, damaged or of a later version; it names the part.
    """
    return _unpack(path, path, inside_ensemble=False)


def _unpack(file: Path | io.BytesIO, path: Path, *, inside_ensemble: bool) -> Bundle:
    """Read a bundle from `file`; errors call it `path`."""
    try:
        with zipfile.ZipFile(file) as archive:
            _check_archive(archive, path)
            manifest = _read_manifest(_read_part(archive, MANIFEST, path), path)
            hashes = manifest["sha256"]
            members = [_member_name(number) for number in range(manifest["members"])]
            own = members or [WEIGHTS, *([GRAPH] if GRAPH in hashes else [])]
            _check_names(archive.namelist(), hashes, own, path)
            parts = {name: _read_part(archive, name, path) for name in own}
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        # For a later version of zip, and for a name that is no text.
        raise BundleError(f"{path} is not a .cloudseg file, or a damaged one: {error}; get it again") from error
    for name, data in parts.items():
        if hashlib.sha256(data).hexdigest() != hashes[name]:
            raise BundleError(f"{path}: {name} is damaged (its SHA-256 is not the manifest's); get the file again")
    if GRAPH in parts:
        check_alone(parts[GRAPH], f"{path}: {GRAPH}")
    if members and inside_ensemble:
        raise BundleError(f"{path}: a member of an ensemble is an ensemble itself")
    inner = tuple(_unpack(io.BytesIO(parts[name]), path / name, inside_ensemble=True) for name in members)
    try:
        config, decision = ModelConfig.from_dict(manifest["config"]), Decision.from_dict(manifest["decision"])
        if len(decision.presence) != len(config.classes):
            raise ConfigError(f"{len(config.classes)} classes, but a decision for {len(decision.presence)}")
        check_members([config, *(member.config for member in inner)])
    except (ConfigError, TypeError, AttributeError) as error:
        raise BundleError(f"{path}: {MANIFEST} is damaged: {error}") from error
    weights = {} if members else _unpack_weights(parts[WEIGHTS], path)
    return Bundle(
        config=config,
        decision=decision,
        weights=weights,
        graph=fill_graph(parts[GRAPH], weights) if GRAPH in parts else None,
        metrics=manifest["metrics"],
        provenance=manifest["provenance"],
        parity=manifest["parity"],
        members=inner,
    )


def _member_name(number: int) -> str:
    return f"member{number + 1}.cloudseg"


def _check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive that begins late, is compressed in another way than any release did, or is a bomb."""
    infos = archive.infolist()
    start = min((info.header_offset for info in infos), default=0)
    if start > 0:  # of a file that is cut off behind an inner archive, zipfile reads that one
        raise zipfile.BadZipFile(f"its archive begins at byte {start:,} only")
    for info in infos:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(
                f"{path}: {info.filename!r} is compressed by zip's method {info.compress_type}; wanted 0 (stored) or 8 "
                "(deflated)"
            )
    claimed, size = sum(info.file_size for info in infos), _size(archive)
    if claimed > MAX_INFLATION * size:
        raise BundleError(
            f"{path} claims to hold {claimed:,} bytes in {size:,}; a .cloudseg file holds at most {MAX_INFLATION} "
            "times its size"
        )


def _size(archive: zipfile.ZipFile) -> int:
    return archive.fp.seek(0, io.SEEK_END) if archive.fp else 0


def _check_names(names: list[str], hashes: dict[str, Any], own: list[str], path: Path) -> None:
    """Refuse what no hash vouches for, two parts of one name, and what a file of this format does not have."""
    for name, count in Counter(names).items():
        if count > 1:
            raise BundleError(f"{path}: {name!r} is there twice")
        if name not in (MANIFEST, *hashes):
            raise BundleError(f"{path}: {name!r} is not listed in the manifest")
    for name in own:
        if name not in hashes:
            raise BundleError(f"{path}: the manifest names no {name}")
    for name in hashes:
        if name not in own:
            raise BundleError(f"{path}: {name!r} is no part of a .cloudseg file; it has {', '.join(own)}")


def _read_part(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        size = archive.getinfo(name).file_size
        if name == MANIFEST and size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{path}: {name} claims {size:,} bytes; at most {MAX_MANIFEST_BYTES:,} are read")
        with archive.open(name) as part:
            return part.read(size + 1)  # told no number, it would first inflate all that there is, whatever is claimed
    except KeyError as error:
        raise BundleError(f"{path}: {name} is missing") from error
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, zlib.error) as error:
        raise BundleError(f"{path}: {name} is damaged: {error}; get the file again") from error


def _read_manifest(data: bytes, path: Path) -> dict[str, Any]:
    wanted = {"config": dict, "decision": dict, "metrics": dict, "provenance": dict, "sha256": dict}
    try:
        manifest = json.loads(data, parse_constant=_refuse_constant)
        version = manifest["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: {MANIFEST} is damaged: {error}") from error
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise BundleError(
            f"{path} has format version {version!r}; this release reads 1 to {FORMAT_VERSION}. Upgrade cloudseg-sdk."
        )
    for name, kind in wanted.items():
        if not isinstance(manifest.get(name), kind):
            raise BundleError(f"{path}: {MANIFEST} is damaged: {name!r} is missing or not an object")
    for added, fields in _ADDED.items():
        if version < added:
            manifest = {**fields, **manifest}
            for part in fields.keys() & {"config", "decision"}:
                manifest[part] = {**fields[part], **manifest[part]}
    if not isinstance(manifest.get("parity"), dict):
        raise BundleError(f"{path}: {MANIFEST} is damaged: 'parity' is missing or not an object")
    members = manifest.get("members")
    if type(members) is not int or not 0 <= members <= len(manifest["sha256"]):
        raise BundleError(f"{path}: {MANIFEST} is damaged: 'members' is {members!r}")
    return dict(manifest)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _pack_weights(weights: Mapping[str, NDArray[np.floating[Any]]], dtype: str) -> bytes:
    largest = np.finfo(dtype).max
    for name, array in weights.items():
        if array.ndim > 1 and np.abs(array).max(initial=0) > largest:
            raise ConfigError(f'{name} has values beyond the {largest:g} that {dtype} holds; take dtype "float32"')
    buffer = io.BytesIO()
    # Only kernels are halved: they are nearly all of the bytes, and a tiny variance would not survive float16.
    stored = {name: array.astype(dtype) if array.ndim > 1 else array for name, array in weights.items()}
    np.savez(buffer, allow_pickle=False, **stored)
    return buffer.getvalue()


def _unpack_weights(data: bytes, path: Path) -> dict[str, NDArray[np.floating[Any]]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            # np.savez compresses nothing, and puts no two arrays into one place; else they could claim any size.
            infos = arrays.zip.infolist()
            if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise ValueError("an array is compressed")
            if sum(info.file_size for info in infos) > len(data):
                raise ValueError("its arrays claim more bytes than it has")
            weights = {name: arrays[name] for name in arrays.files}
    except Exception as error:  # NumPy reads headers with Python's own tokenizer and parser, which raise all sorts
        raise BundleError(f"{path}: {WEIGHTS} is damaged: {error}") from error
    for name, array in weights.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            raise BundleError(f"{path}: {WEIGHTS} is damaged: {name} is not an array of floating-point numbers")
    return weights
