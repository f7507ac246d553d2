"""Model files: zip bombs, parts that do not belong there, code, and graphs of another network.

Every kind of damage to a sound file is in ``test_bundle.py``: here everything is meant.
"""

import hashlib
import io
import json
import pickle
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cloudseg_sdk import Decision, ModelConfig
from cloudseg_sdk.bundle import GRAPH, MANIFEST, WEIGHTS, Bundle, write_bundle
from hostile import Case

FROZEN = Path(__file__).parents[1] / "fixtures" / "bundle" / "version1.cloudseg"  # 16 x 24 pixels, 2 classes
CONFIG = ModelConfig(classes=("x", "y"), input_size=(32, 48), filters=(4, 6, 8))
NO_BUNDLE = "{path} is not a .cloudseg file, or a damaged one: ...; get it again"
ELSEWHERE = "{path}: model.onnx keeps tensors in other files; wanted a graph that holds all of them itself"
CLAIMS = "{path} claims to hold ... bytes in ...; a .cloudseg file holds at most 20 times its size"
CONFIGURED = "{path}: manifest.json is damaged: ModelConfig wants the fields ..."

Parts = dict[str, bytes]


def sound() -> Parts:
    """The parts of a small model file."""
    weights = {"conv/kernel": np.ones((3, 3), np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cloudseg"
        write_bundle(path, Bundle(CONFIG, Decision.plain(2), weights, b"a graph " * 5), "float32")
        return parts_of(path)


def parts_of(path: Path) -> Parts:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(
    parts: Parts,
    compression: int = zipfile.ZIP_STORED,
    manifest: Callable[[dict[str, Any]], object] = lambda _: None,
    external_attr: int = 0,
) -> bytes:
    """Write a model file whose manifest vouches for all of its parts."""
    about = json.loads(parts[MANIFEST])
    about["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items() if name != MANIFEST}
    manifest(about)
    return zipped({**parts, MANIFEST: json.dumps(about).encode()}, compression, external_attr)


def zipped(parts: Parts, compression: int = zipfile.ZIP_STORED, external_attr: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = external_attr if name not in (MANIFEST, WEIGHTS, GRAPH) else 0
            archive.writestr(info, data, compression if name == WEIGHTS else zipfile.ZIP_STORED)
    return file.getvalue()


def with_weights(data: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    return packed({**sound(), WEIGHTS: data}, compression)


def bomb(count: int, claims: int) -> bytes:
    """A model file of megabytes of zeros, each packed into a kilobyte, that says that they are `claims` bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    megabyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # after which the next begins anew
    data = bytearray(with_weights(count * megabyte + packer.flush()))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        header = archive.getinfo(WEIGHTS).header_offset
    for method in (header + 8, data.rindex(WEIGHTS.encode()) - 36):  # in the header, and in the zip's directory
        struct.pack_into("<H", data, method, zipfile.ZIP_DEFLATED)
        struct.pack_into("<I", data, method + 14, claims)
    return bytes(data)


def with_part(name: str, data: bytes = b"1", external_attr: int = 0) -> Callable[[], bytes]:
    return lambda: packed({**sound(), name: data}, external_attr=external_attr)


def with_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[], bytes]:
    return lambda: packed(sound(), manifest=change)


def with_manifest_text(change: Callable[[str], str]) -> Callable[[], bytes]:
    return lambda: zipped({**(parts := sound()), MANIFEST: change(parts[MANIFEST].decode()).encode()})


def claiming(data: bytes, name: str, size: int) -> bytes:
    """Change what the zip's directory says of a part's size."""
    changed = bytearray(data)
    entry = changed.rindex(name.encode()) - 46
    assert changed[entry : entry + 4] == b"PK\x01\x02"
    struct.pack_into("<I", changed, entry + 24, size)
    return bytes(changed)


def npz_of_one_array_a_thousand_times() -> bytes:
    """Weights whose directory says a thousand times where the same array lies."""
    file, array = io.BytesIO(), io.BytesIO()
    np.save(array, np.zeros(250_000, np.float32))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", array.getvalue())
        start = archive.start_dir
    data = file.getvalue()
    entry, end = data[start:-22], data[-22:]
    end = end[:8] + struct.pack("<HHI", 1000, 1000, 1000 * len(entry)) + end[16:]
    return data[:start] + 1000 * entry + end


def ensemble(members: int, inner: bytes) -> bytes:
    parts = {f"member{number}.cloudseg": inner for number in range(1, members + 1)}
    return packed({MANIFEST: sound()[MANIFEST], **parts}, manifest=lambda about: about.update(members=members))


class Trap:
    """Its pickle ends the process that reads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import os; os._exit(3)",)


def keras_archive() -> bytes:
    """A file of ``model.save("model.keras")``, which Keras would build from its configuration."""
    return zipped({"metadata.json": b"{}", "config.json": json.dumps(LAMBDA).encode(), "model.weights.h5": b""})


LAMBDA = {
    "class_name": "Functional",
    "config": {"layers": [{"class_name": "Lambda", "config": {"function": ["4wAAAA==", None, None]}}]},
}
CUSTOM = {
    "module": "os",
    "class_name": "system",
    "config": {"command": "touch /tmp/owned"},
    "registered_name": "os>system",
}


def graph_of(change: Callable[[Any], object]) -> Callable[[], bytes]:
    """Change the graph of a model file that works."""

    def make() -> bytes:
        parts = parts_of(FROZEN)
        model = onnx.load_from_string(parts[GRAPH])
        change(model)
        return packed({**parts, GRAPH: model.SerializeToString()})

    return make


def keep_elsewhere(path: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
        for key, value in (("location", path), ("length", str(len(tensor.raw_data)))):
            tensor.external_data.add(key=key, value=value)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")

    return change


def spelled_oddly() -> bytes:
    """A tensor elsewhere whose key has more bytes of length than it needs, which parsers of protocol buffers take."""
    parts = parts_of(FROZEN)
    model = onnx.load_from_string(parts[GRAPH])
    keep_elsewhere("/etc/passwd")(model)
    data = model.SerializeToString()
    assert data.count(b"\x0a\x08location") == 1
    return packed({**parts, GRAPH: data.replace(b"\x0a\x08location", b"\x8a\x00\x88\x80\x00location")})


def config_of(**changes: Any) -> Callable[[], bytes]:
    """Change what the manifest says of a graph that works."""
    return lambda: packed(parts_of(FROZEN), manifest=lambda about: about["config"].update(changes))


def with_classes(count: int) -> bytes:
    def change(about: dict[str, Any]) -> None:
        about["config"]["classes"] = [str(number) for number in range(count)]
        about["decision"] = {name: [0.5] * count for name in ("presence", "threshold", "min_area")}

    return packed(parts_of(FROZEN), manifest=change)


FROZEN_SHAPES = "[(None, 16, 24, 3), (None, 16, 24, 2)]"

BUNDLES: dict[str, Case] = {
    "the sound one": Case("m.cloudseg", lambda: packed(sound()), {"bundle": None}),
    "the sound one that predicts": Case("m.cloudseg", FROZEN.read_bytes, {"model": None}),
    # bombs
    "bomb of deflate": Case("m.cloudseg", lambda: bomb(4000, 4000 << 20), {"bundle": CLAIMS}),
    "bomb that claims little": Case(
        "m.cloudseg",
        lambda: bomb(4000, 10),
        {"bundle": "{path}: weights.npz is damaged: Bad CRC-32 for file 'weights.npz'; get the file again"},
    ),
    "bomb that claims much": Case(
        "m.cloudseg", lambda: claiming(packed(sound()), WEIGHTS, 2**32 - 2), {"bundle": CLAIMS}
    ),
    "bomb of bzip2": Case(
        "m.cloudseg",
        lambda: claiming(with_weights(bytes(20_000_000), zipfile.ZIP_BZIP2), WEIGHTS, 10),
        {"bundle": "{path}: 'weights.npz' is compressed by zip's method 12; wanted 0 (stored) or 8 (deflated)"},
    ),
    "bomb of lzma": Case(
        "m.cloudseg",
        lambda: with_weights(bytes(10_000_000), zipfile.ZIP_LZMA),
        {"bundle": "{path}: 'weights.npz' is compressed by zip's method 14; wanted 0 (stored) or 8 (deflated)"},
    ),
    "bomb in a member": Case(
        "m.cloudseg",
        lambda: ensemble(2, with_weights(bytes(10_000_000), zipfile.ZIP_DEFLATED)),
        {"bundle": CLAIMS.replace("{path}", "{path}/member1.cloudseg")},
    ),
    "bomb of one array in a thousand places": Case(
        "m.cloudseg",
        lambda: with_weights(npz_of_one_array_a_thousand_times()),
        {"bundle": "{path}: weights.npz is damaged: its arrays claim more bytes than it has"},
    ),
    "manifest of 17 megabytes": Case(
        "m.cloudseg",
        with_manifest(lambda about: about.update(metrics={"x": "x" * (17 << 20)})),
        {"bundle": "{path}: manifest.json claims 17,... bytes; at most 16,777,216 are read"},
    ),
    # parts that do not belong there, though the manifest vouches for them
    "part outside": Case(
        "m.cloudseg",
        with_part("../../escaped"),
        {"bundle": "{path}: '../../escaped' is no part of a .cloudseg file; it has weights.npz, model.onnx"},
    ),
    "part at the root": Case(
        "m.cloudseg",
        with_part("/etc/escaped"),
        {"bundle": "{path}: '/etc/escaped' is no part of a .cloudseg file; it has weights.npz, model.onnx"},
    ),
    "part of Windows": Case(
        "m.cloudseg",
        with_part("C:\\escaped"),
        {"bundle": "{path}: 'C:\\\\escaped' is no part of a .cloudseg file; it has weights.npz, model.onnx"},
    ),
    "part that is a link": Case(
        "m.cloudseg",
        with_part("link", b"/etc/passwd", external_attr=(stat.S_IFLNK | 0o777) << 16),
        {"bundle": "{path}: 'link' is no part of a .cloudseg file; it has weights.npz, model.onnx"},
    ),
    "part that is a pickle": Case(
        "m.cloudseg",
        with_part("model.pkl", pickle.dumps(Trap())),
        {"bundle": "{path}: 'model.pkl' is no part of a .cloudseg file; it has weights.npz, model.onnx"},
    ),
    "part that the manifest lists and the file has not": Case(
        "m.cloudseg",
        with_manifest(lambda about: about["sha256"].update(extra="0" * 64)),
        {"bundle": "{path}: 'extra' is no part of a .cloudseg file; it has weights.npz, model.onnx"},
    ),
    "part with a name that writes on the terminal": Case(
        "m.cloudseg",
        lambda: zipped({**sound(), "\x1b[31m\n": b""}),
        {"bundle": "{path}: '\\x1b[31m\\n' is not listed in the manifest"},
    ),
    "part with a name that is no text": Case(
        "m.cloudseg",
        lambda: zipped({**sound(), "ÿÿ": b""}).replace("ÿÿ".encode(), b"\xff\xff\xff\xff"),
        {"bundle": NO_BUNDLE},
    ),
    # code
    "pickle as weights": Case(
        "m.cloudseg",
        lambda: with_weights(pickle.dumps(Trap())),
        {"bundle": "{path}: weights.npz is damaged: ... pickled (object) data..."},
    ),
    "pickle as the whole file": Case("m.cloudseg", lambda: pickle.dumps(Trap()), {"bundle": NO_BUNDLE}),
    "file of Keras": Case("m.cloudseg", keras_archive, {"bundle": "{path}: manifest.json is missing"}),
    "configuration with a Lambda": Case(
        "m.cloudseg", with_manifest(lambda about: about.update(config=LAMBDA)), {"bundle": CONFIGURED}
    ),
    "configuration with a class of any module": Case(
        "m.cloudseg", with_manifest(lambda about: about.update(config=CUSTOM)), {"bundle": CONFIGURED}
    ),
    "configuration with one more field": Case(
        "m.cloudseg", with_manifest(lambda about: about["config"].update(module="os")), {"bundle": CONFIGURED}
    ),
    "encoder of any module": Case(
        "m.cloudseg",
        with_manifest(lambda about: about["config"].update(encoder="os.system")),
        {"bundle": "{path}: manifest.json is damaged: encoder must be one of [...], got 'os.system'"},
    ),
    "activation of any module": Case(
        "m.cloudseg",
        with_manifest(lambda about: about["config"].update(activation="os>system")),
        {"bundle": "{path}: manifest.json is damaged: activation must be one of [...], got 'os>system'"},
    ),
    # JSON
    "threshold that is not a number": Case(
        "m.cloudseg",
        with_manifest(lambda about: about["decision"].update(threshold=[0.5, float("nan")])),
        {"bundle": "{path}: manifest.json is damaged: NaN is no JSON value"},
    ),
    "metric that is infinite": Case(
        "m.cloudseg",
        with_manifest(lambda about: about.update(metrics={"dice": float("-inf")})),
        {"bundle": "{path}: manifest.json is damaged: -Infinity is no JSON value"},
    ),
    "number of five thousand digits": Case(
        "m.cloudseg",
        with_manifest_text(lambda text: text.replace('"members": 0', '"members": ' + "9" * 5000)),
        {
            "bundle": "{path}: manifest.json is damaged: Exceeds the limit (4300 digits) for integer string conversion"
            "..."
        },
    ),
    "metrics nested without end": Case(
        "m.cloudseg",
        with_manifest_text(lambda text: text.replace('"metrics": {}', '"metrics": ' + '{"a":' * 100_000)),
        {"bundle": "{path}: manifest.json is damaged: maximum recursion depth exceeded..."},
    ),
    "format version of the future": Case(
        "m.cloudseg",
        with_manifest(lambda about: about.update(format_version=99)),
        {"bundle": "{path} has format version 99; this release reads 1 to 3. Upgrade cloudseg-sdk."},
    ),
    "input of 2**80 pixels": Case(
        "m.cloudseg",
        with_manifest(lambda about: about["config"].update(input_size=[2**40, 2**40])),
        {
            "bundle": "{path}: manifest.json is damaged: input_size must have at most 134,217,728 pixels, "
            "got (1099511627776, 1099511627776)"
        },
    ),
    # other files
    "download that was interrupted": Case(
        "m.cloudseg", lambda: (data := FROZEN.read_bytes())[: len(data) // 2], {"bundle": NO_BUNDLE}
    ),
    "page that says that there is no such file": Case(
        "m.cloudseg", lambda: b"<!doctype html><title>404 Not Found</title>", {"bundle": NO_BUNDLE}
    ),
    # graphs
    "graph that reads any file": Case("m.cloudseg", graph_of(keep_elsewhere("/etc/passwd")), {"model": ELSEWHERE}),
    "graph that reads a file near by": Case(
        "m.cloudseg", graph_of(keep_elsewhere("../../secret")), {"model": ELSEWHERE}
    ),
    "graph that reads a file in odd spelling": Case("m.cloudseg", spelled_oddly, {"model": ELSEWHERE}),
    "graph of another size": Case(
        "m.cloudseg",
        config_of(input_size=[32, 48]),
        {
            "model": "{path}: its graph has inputs and outputs of the shapes "
            f"{FROZEN_SHAPES}, wanted [(None, 32, 48, 3), (None, 32, 48, 2)] by its configuration"
        },
    ),
    "graph of fewer classes": Case(
        "m.cloudseg",
        lambda: with_classes(3),
        {
            "model": "{path}: its graph has inputs and outputs of the shapes "
            f"{FROZEN_SHAPES}, wanted [(None, 16, 24, 3), (None, 16, 24, 3)] by its configuration"
        },
    ),
    "graph without a head": Case(
        "m.cloudseg",
        config_of(presence_head=True),
        {
            "model": "{path}: its graph has inputs and outputs of the shapes "
            f"{FROZEN_SHAPES}, wanted [(None, 16, 24, 3), (None, 16, 24, 2), (None, 2)] by its configuration"
        },
    ),
    "graph that is a pickle": Case(
        "m.cloudseg",
        lambda: packed({**parts_of(FROZEN), GRAPH: pickle.dumps(Trap())}),
        {"model": "{path}: OpenVINO cannot read the model's graph: ..."},
    ),
}
