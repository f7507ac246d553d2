"""Tables of masks: CSV, COCO JSON and Parquet that are broken, ambiguous, or as other programs write them."""

import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow
import pyarrow.parquet

from hostile import Case

HEADER = b"Image_Label,EncodedPixels\n"
ROWS = b"a.jpg_A,1 2\na.jpg_B,\n"
NOT_UTF8 = "{path} line 3: the byte 0xe9 is not UTF-8; save the file as UTF-8"
UTF16 = "{path} line 1: the byte 0xff is not UTF-8; save the file as UTF-8"
NUL = "{path} line 2: a NUL byte is no text; save the file as UTF-8"
QUOTE = (
    "{path} line 2: a quote where none belongs; wanted cells that hold one in quotes, with every quote inside doubled"
)
COLUMNS = "{path} must have the columns Image_Label, EncodedPixels, got "
TABLE = "the table must have the columns Image_Label, or image and label, and EncodedPixels; it lacks "
NO_MASKS = "{path} has no column of masks that is known by its name, only "
LETTER = "is neither a digit nor white space; wanted 'start length start length ...'"


def csv(data: bytes, kaggle: str | None, table: str | None, command: str | None = "") -> Case:
    """A train.csv; what `cloudrle` says is mostly what `read_table` does."""
    words = table if command == "" else command
    return Case("train.csv", lambda: data, {"kaggle": kaggle, "read_table": table, "check": words, "convert": words})


def faulty(data: bytes, reason: str) -> Case:
    """A train.csv of which the first mask is none."""
    return Case(
        "train.csv",
        lambda: data,
        {
            "kaggle": f"train.csv line 2 (a.jpg_A): {reason}",
            "read_table": f"row 0: {reason}",
            "check": f"row 0 (a.jpg_A): {reason}\n1 of 2 masks are faulty\n",
            "convert": f"row 0: {reason}",
        },
    )


DOCUMENT: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.jpg", "height": 4, "width": 6}],
    "categories": [{"id": 1, "name": "A"}],
    "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "segmentation": {"size": [4, 6], "counts": [0, 24]}}],
}


def document(**changes: Any) -> bytes:
    """COCO JSON with other values for fields of its image or its annotation."""
    changed = json.loads(json.dumps(DOCUMENT))
    for name, value in changes.items():
        changed["annotations" if name in ("image_id", "category_id", "segmentation") else "images"][0][name] = value
    return json.dumps(changed).encode()


def coco(data: bytes | Callable[[], bytes], sdk: str | None, command: str | None) -> Case:
    make = data if callable(data) else lambda: data
    return Case("coco.json", make, {"coco": sdk, "check": command, "convert": command})


def parquet(data: Callable[[], bytes], command: str | None) -> Case:
    return Case("masks.parquet", data, {"check": command, "convert": command})


def written(columns: dict[str, Any] | list[tuple[str, Any]]) -> bytes:
    file = io.BytesIO()
    pairs = list(columns.items()) if isinstance(columns, dict) else columns
    table = pyarrow.Table.from_arrays([pyarrow.array(values) for _, values in pairs], [name for name, _ in pairs])
    pyarrow.parquet.write_table(table, file, compression="none", use_dictionary=False)
    return file.getvalue()


SOUND = json.dumps(DOCUMENT)
PLACE = '{path}: image {"id": 1, "file_name": "a.jpg", "he...'.replace('"', "'")
DEEP = "{path}: broken JSON at character ...: wanted a value that is nested less deeply, got ..."

TABLES: dict[str, Case] = {
    # as other programs write them: all of them are read
    "csv": csv(HEADER + ROWS, None, None),
    "csv with CRLF": csv((HEADER + ROWS).replace(b"\n", b"\r\n"), None, None),
    "csv with a byte order mark": csv(b"\xef\xbb\xbf" + HEADER + ROWS, None, None),
    "csv with blank lines": csv(HEADER + b"\n" + ROWS + b"\r\n\n", None, None),
    "csv with quotes": csv(b'"Image_Label","EncodedPixels"\n"a.jpg_A","1 2"\n"a.jpg_B",""', None, None),
    "csv with a cell of a megabyte": csv(HEADER + b"a.jpg_A,1" + b" " * (1 << 20) + b"2\na.jpg_B,\n", None, None),
    "csv with a quoted cell of a megabyte": csv(
        HEADER + b'a.jpg_A,"1' + b" " * (1 << 20) + b'2"\na.jpg_B,\n', None, None
    ),
    "csv with line ends of an old Mac": csv(
        (HEADER + ROWS).replace(b"\n", b"\r"),
        None,
        "{path} line 1: a carriage return inside the line; end lines in LF or CRLF",
    ),
    "csv without rows": csv(HEADER, "there is not one image in these labels", None),
    # encodings
    "csv in Latin-1": csv(HEADER + b"a.jpg_A,1 2\n\xe9.jpg_A,\n", NOT_UTF8, NOT_UTF8),
    "csv in UTF-8 and Latin-1": csv(HEADER + b"\xc3\xa9.jpg_A,1 2\n\xe9.jpg_A,\n", NOT_UTF8, NOT_UTF8),
    "csv in UTF-16": csv((HEADER + ROWS).decode().encode("utf-16"), UTF16, UTF16),
    "csv in UTF-16 without a mark": csv(
        (HEADER + ROWS).decode().encode("utf-16-le"),
        NUL.replace("line 2", "line 1"),
        "{path} line 4: wanted 2 cells, got 1",
        NO_MASKS + "'I\\x00m\\x00a\\x00...; pass --column",
    ),
    "csv with two byte order marks": Case(
        "train.csv",
        lambda: b"\xef\xbb\xbf" * 2 + HEADER + ROWS,
        {
            "kaggle": None,
            "read_table": TABLE + "Image_Label, and has '\\ufeffImage_Label, EncodedPixels'...",
        },
    ),
    # NULs and rubbish
    "csv with a NUL in a name": Case("train.csv", lambda: HEADER + b"a\0.jpg_A,1 2\n", {"kaggle": NUL}),
    "csv with a NUL in a mask": Case(
        "train.csv",
        lambda: HEADER + b"a.jpg_A,1 2\0 3 4\na.jpg_B,\n",
        {
            "kaggle": NUL,
            "read_table": "row 0: NUL byte at position 3; wanted digits and white space only",
            "check": "row 0 (a.jpg_A): NUL byte at position 3; wanted digits and white space only\n...",
            "convert": "row 0: NUL byte at position 3; wanted digits and white space only",
        },
    ),
    "csv of zeros": csv(
        bytes(100_000),
        NUL.replace("line 2", "line 1"),
        TABLE + "Image_Label, EncodedPixels, and has '\\x00\\x00...",
        NO_MASKS + "'\\x00\\x00...; pass --column",
    ),
    "csv that is empty": csv(
        b"",
        COLUMNS + "''",
        TABLE + "Image_Label, EncodedPixels, and has none at all",
        NO_MASKS + "none at all; pass --column",
    ),
    "csv that is a zip": csv(
        b"PK\x03\x04" + bytes(range(256)),
        "{path} line 2: the byte 0x80 is not UTF-8; save the file as UTF-8",
        "{path} line 2: the byte 0x80 is not UTF-8; save the file as UTF-8",
        NO_MASKS + "'PK\\x03\\x04...; pass --column",
    ),
    "csv of a hundred thousand columns": csv(
        b"x," * 100_000,
        COLUMNS + "'x,x,x,...",
        TABLE + "Image_Label, EncodedPixels, and has 'x, x, x, ...",
        "{path} has two columns of one name: 'x, x, x, ...",
    ),
    # rows
    "csv with a row cut short": csv(
        HEADER + b"a.jpg_A,1 2\na.jpg_B", "{path} line 3: wanted 2 cells, got 1", "{path} line 3: wanted 2 cells, got 1"
    ),
    "csv with a cell too many": csv(
        HEADER + b"a.jpg_A,1 2\na.jpg_B,,\n",
        "{path} line 3: wanted 2 cells, got 3",
        "{path} line 3: wanted 2 cells, got 3",
    ),
    "csv with a cell too many in every row": csv(
        HEADER + b"0,a.jpg_A,1 2\n1,a.jpg_B,\n",
        "{path} line 2: wanted 2 cells, got 3",
        "{path} line 2: wanted 2 cells, got 3",
    ),
    "csv with two columns of one name": csv(
        b"Image_Label,EncodedPixels,EncodedPixels\na.jpg_A,1 2,3 4\na.jpg_B,,\n",
        COLUMNS + "'Image_Label,EncodedPixels,EncodedPixels'",
        "the table has two columns EncodedPixels; drop or rename one",
        "{path} has two columns of one name: Image_Label, EncodedPixels, EncodedPixels",
    ),
    "csv with a quote that is not closed": csv(
        HEADER + b'a.jpg_A,"1 2\na.jpg_B,\n',
        "{path} is not a CSV file: Error tokenizing data. C error: EOF inside string starting at row 1",
        "{path} line 2: a quote is opened and never closed",
    ),
    "csv with a quote inside a cell": csv(
        HEADER + b'a.jpg_A,1 2"\na.jpg_B,"\n',
        "{path} is not a CSV file: Error tokenizing data. C error: EOF inside string starting at row 2",
        QUOTE,
    ),
    "csv with text behind a quote": csv(
        HEADER + b'a.jpg_A,"1 2"x\na.jpg_B,\n',
        f"train.csv line 2 (a.jpg_A): 'x' at position 3 {LETTER}",
        QUOTE,
    ),
    "csv with a name that writes on the terminal": csv(
        HEADER + b"\x1b[31m_A,1 2 3\n",
        "train.csv line 2 ('\\x1b[31m_A'): run 2 has a start but no length; wanted pairs of numbers, got 3 numbers",
        "row 0: run 2 has a start but no length; wanted pairs of numbers, got 3 numbers",
        "row 0...: run 2 has a start but no length; wanted pairs of numbers, got 3 numbers...",
    ),
    "csv with huge numbers": faulty(
        HEADER + b"a.jpg_A," + b"9" * 5000 + b" 1\na.jpg_B,\n", "the number at position 0 does not fit in 64 bits"
    ),
    "csv with runs of another shape": faulty(
        HEADER + b"a.jpg_A,25 1\na.jpg_B,\n", "run 1 starts at 25, past the last pixel of a 4 x 6 mask (24)"
    ),
    # COCO JSON
    "json": coco(document(), None, None),
    "json with a byte order mark": coco(b"\xef\xbb\xbf" + document(), None, None),
    "json behind five thousand spaces": coco(b" " * 5000 + document(), None, None),
    "json nested without end": coco(b"[" * 100_000, "{path} is not JSON: maximum recursion depth exceeded...", DEEP),
    "json nested without end inside": coco(
        SOUND.replace("[0, 24]", "[" * 100_000).encode(),
        "{path} is not JSON: maximum recursion depth exceeded...",
        DEEP,
    ),
    "json with a key twice": coco(
        SOUND.replace('"categories"', '"images": [], "categories"').encode(),
        "{path} is not JSON: an object has the name 'images' twice",
        "{path}: broken JSON at character ...: wanted no second 'images', got ...",
    ),
    "json with a key twice inside": coco(
        SOUND.replace('"counts": [0, 24]', '"counts": [0, 24], "counts": [24]').encode(),
        "{path} is not JSON: an object has the name 'counts' twice",
        "{path}: broken JSON at character ...: wanted a sound value (an object has a key twice), got ...",
    ),
    "json with a number of five thousand digits": coco(
        SOUND.replace('"height": 4', '"height": ' + "9" * 5000).encode(),
        "{path} is not JSON: Exceeds the limit (4300 digits) for integer string conversion...",
        "{path}: broken JSON at character ...: wanted a sound value (Exceeds the limit (4300 digits)...), got ...",
    ),
    "json in UTF-16": coco(SOUND.encode("utf-16"), UTF16, "{path}: the byte 0xff is not UTF-8; save the file as UTF-8"),
    "json in Latin-1": coco(
        SOUND.replace("a.jpg", "é.jpg").encode("latin-1"),
        "{path} line 1: the byte 0xe9 is not UTF-8; save the file as UTF-8",
        "{path}: the byte 0xe9 is not UTF-8; save the file as UTF-8",
    ),
    "json that is cut off": coco(
        SOUND[:-20].encode(),
        "{path} is not JSON: ...",
        "{path}: broken JSON at character ...: wanted a value, got ...",
    ),
    "json with two images of one id": coco(
        SOUND.replace('"images": [', '"images": [{"id": 1, "file_name": "b.jpg", "height": 9, "width": 9}, ').encode(),
        "images[1]: the id 1 is used twice",
        "{path}: image ...: the id 1 is used twice",
    ),
    **{
        f"json with a height of {value!r}": coco(
            document(height=value),
            f"image 1: 'height' must be a whole number, got {value!r}",
            PLACE + " must have a height and a width, whole numbers of pixels",
        )
        for value in ("4", None, 4.0, True, float("nan"), float("inf"))
    },
    "json with a negative height": coco(
        document(height=-4),
        "image 1: height and width must be 1 to 1,073,741,824 pixels in all, got -4 x 6",
        PLACE + " must have a height and a width, whole numbers of pixels",
    ),
    "json with a height beyond 64 bits": coco(
        document(height=10**30),
        f"image 1: height and width must be 1 to 1,073,741,824 pixels in all, got {10**30} x 6",
        f"shape[0] must have at most 2**63 - 1 pixels, got {10**30} x 6",
    ),
    "json with a list as an id": coco(
        document(id=[1]),
        "images[0]: 'id' must be a whole number or text, got [1]",
        "{path}: image ... must have an id, a whole number or text",
    ),
    "json with a number as a name": coco(
        document(file_name=5),
        "image 1: 'file_name' must be text, got 5",
        "{path}: image ... must have a file_name, a text",
    ),
    "json with a list as a category": coco(
        document(category_id=[1]),
        "annotation 7: 'category_id' must be a whole number or text, got [1]",
        "{path}: annotation 0 must have whole numbers or texts as image_id and category_id, got 1 and [1]",
    ),
    "json with runs of another size": coco(
        document(segmentation={"size": [4.0, 6], "counts": [24]}),
        "annotation 7: size must be a pair of ints (height, width), got [4.0, 6]",
        "row 0...: the size of the segmentation is [4.0, 6], but the shape of this row is 4 x 6 (height, width)...",
    ),
    "json with counts that are not numbers": coco(
        document(segmentation={"size": [4, 6], "counts": [float("nan")]}),
        "annotation 7: counts must be a list of integers, got dtype float64",
        "row 0...: counts must be a list of integers, got dtype float64...",
    ),
    "json with counts beyond 64 bits": coco(
        document(segmentation={"size": [4, 6], "counts": [10**30]}),
        "annotation 7: counts must be a list of integers below 2**63, got 1000000000000000000000000000000",
        f"row 0...: counts must be below 2**63, got {10**30}...",
    ),
    "json with half a surrogate pair": Case(
        "coco.json",
        lambda: document(file_name="\ud800.jpg"),
        {"convert": "{path}: '\\ud800.jpg_A...' is no text that UTF-8 can hold"},
    ),
    # Parquet
    "parquet": parquet(lambda: written({"EncodedPixels": ["1 2", ""]}), None),
    "parquet without rows": parquet(lambda: written({"EncodedPixels": pyarrow.array([], pyarrow.string())}), None),
    "parquet that is cut off": parquet(
        lambda: written({"EncodedPixels": ["1 2", ""]})[:-10],
        "{path} is no Parquet file, or a damaged one: Parquet magic bytes not found in footer...",
    ),
    "parquet that is empty": parquet(lambda: b"", "{path} is no Parquet file, or a damaged one: ..."),
    "parquet with a footer of two gigabytes": parquet(
        lambda: written({"EncodedPixels": ["1 2", ""]})[:-8] + b"\xff\xff\xff\x7fPAR1",
        "{path} is no Parquet file, or a damaged one: ...",
    ),
    "parquet of rubbish": parquet(
        lambda: (data := written({"EncodedPixels": ["1 2" * 100]}))[:20] + b"\xff" * 12 + data[32:],
        "{path} is no Parquet file, or a damaged one: ...",
    ),
    "parquet of text that is no text": parquet(
        lambda: written({"EncodedPixels": ["1 2"], "Image_Label": ["XXXX_A"]}).replace(
            b"XXXX_A", b"\xff\xff\xff\xff_A"
        ),
        "{path} is no Parquet file, or a damaged one: ...",
    ),
    "parquet with two columns of one name": parquet(
        lambda: written([("EncodedPixels", ["1 2"]), ("EncodedPixels", ["3 4"])]),
        "{path} has two columns of one name: EncodedPixels, EncodedPixels",
    ),
    "parquet of structs": parquet(
        lambda: written({"EncodedPixels": [{"a": 1}]}),
        "...texts must be a column of strings, got the Arrow type struct; pick one column, as in frame[...",
    ),
}
