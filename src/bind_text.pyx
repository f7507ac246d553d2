# cython: boundscheck=False, wraparound=False, autotestdict=False
"""Columns of Python strings <-> runs and offsets. What costs here is Python objects; characters are text.cpp's work."""

import sys
from numbers import Real

import numpy as np

from cloudrle import _cells, _core
from cloudrle.errors import arrow_type, from_result, missing_row

cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t
from libcpp.vector cimport vector

cnp.import_array()


include "rle.pxi"

lower_level(_core.simd_level().encode("ascii"))

# A block of rows ends after so many rows, or so many characters for each thread, whichever comes first.
cdef enum:
    BLOCK_ROWS = 1 << 12
    BLOCK_CHARS = 1 << 20
    BLOCK_THREADS = 8  # more don't make it larger
    THREAD_CHARS = 1 << 17  # that are worth one more thread


# Each dialect, and what its cells hold.
DIALECTS = {
    "kaggle": (<int> Dialect.kaggle, <int> Cells.texts),
    "kaggle-rows": (<int> Dialect.kaggle_rows, <int> Cells.texts),
    "zero-based": (<int> Dialect.zero_based, <int> Cells.texts),
    "start-end-inclusive": (<int> Dialect.ends_inclusive, <int> Cells.texts),
    "start-end-exclusive": (<int> Dialect.ends_exclusive, <int> Cells.texts),
    "relative": (<int> Dialect.relative, <int> Cells.texts),
    "coco": (<int> Dialect.coco, <int> Cells.strings),
    "coco-bytes": (<int> Dialect.coco, <int> Cells.strings),
    "coco-counts": (<int> Dialect.coco_counts, <int> Cells.numbers),
    "label-studio": (<int> Dialect.label_studio, <int> Cells.bytes),
    "cvat": (<int> Dialect.cvat, <int> Cells.numbers),
}


@cython.final
@cython.auto_pickle(False)
cdef class ArrowTexts:
    """A column that speaks Arrow's C interface, borrowed and not copied."""

    cdef ArrowColumn column
    cdef Cells cells

    def __init__(self, column, str dialect="kaggle"):
        self.cells = <Cells> <int> DIALECTS[dialect][1]
        if hasattr(column, "__arrow_c_stream__"):
            self.read_stream(column.__arrow_c_stream__())
        else:
            schema, array = column.__arrow_c_array__()
            self.set_type((<ArrowSchema*> PyCapsule_GetPointer(schema, "arrow_schema"))[0])
            self.column.append((<ArrowArray*> PyCapsule_GetPointer(array, "arrow_array"))[0])

    cdef object read_stream(self, object capsule):
        cdef ArrowArrayStream* stream = <ArrowArrayStream*> PyCapsule_GetPointer(capsule, "arrow_array_stream")
        cdef ArrowSchema schema
        cdef ArrowArray array
        check_stream(stream, stream.get_schema(stream, &schema))
        try:
            self.set_type(schema)
        finally:
            schema.release(&schema)
        while True:
            check_stream(stream, stream.get_next(stream, &array))
            if array.release == NULL:
                break
            self.column.append(array)

    cdef object set_type(self, const ArrowSchema& schema):
        if self.column.set_type(schema, self.cells):
            return
        code = schema.format.decode()
        values = None if schema.dictionary == NULL else schema.dictionary.format.decode()
        items = schema.children[0].format.decode() if code in ("+l", "+L") else None
        raise arrow_type(code, values, items, <int> self.cells)

    def __len__(self):
        return self.column.size()


cdef object check_stream(ArrowArrayStream* stream, int error):
    if error != 0:
        message = stream.get_last_error(stream)
        raise OSError(error, "no message" if message == NULL else message.decode(errors="replace"))


cdef bint is_missing(object value):
    if value is None:
        return True
    if isinstance(value, Real):  # NumPy's too
        return value != value
    pandas = sys.modules.get("pandas")  # never imported here: without it there is no pandas.NA to meet
    return pandas is not None and value is getattr(pandas, "NA", None)


cdef bint is_readable(object value, bint missing_is_empty):
    return PyUnicode_IS_ASCII(value) if isinstance(value, str) else missing_is_empty and is_missing(value)


cdef object failure(const Result& result, object row, Shape shape):
    return from_result(
        words(result.error).decode("ascii"),
        row,
        result.position,
        result.number,
        result.value,
        result.other,
        shape.height,
        shape.width,
    )


cdef Chars borrow(object text, object row, Shape shape) except *:
    """Look at the characters of a string, which must outlive what is returned."""
    cdef Chars chars
    cdef Result result
    cdef Py_ssize_t size
    if not PyUnicode_IS_ASCII(text):
        result.error = Error.text_not_ascii
        result.position, character = next((i, c) for i, c in enumerate(text) if c > "\x7f")
        result.value = ord(character)
        raise failure(result, row, shape)
    chars.data = PyUnicode_AsUTF8AndSize(text, &size)
    chars.size = size
    return chars


cdef cnp.ndarray new_runs(int64_t room):
    cdef cnp.npy_intp[2] shape
    shape[0], shape[1] = room, 2
    return cnp.PyArray_SimpleNew(2, shape, cnp.NPY_INT64)


cdef cnp.ndarray trim(cnp.ndarray runs, int64_t count):
    """Give back the room that is left over, in place: nobody else has seen the array."""
    if cnp.PyArray_DIM(runs, 0) != count:
        runs.resize((count, 2), refcheck=False)
    return runs


cdef const Run* data_of(cnp.ndarray runs) except? NULL:
    if cnp.PyArray_TYPE(runs) != cnp.NPY_INT64 or cnp.PyArray_NDIM(runs) != 2 or cnp.PyArray_DIM(runs, 1) != 2:
        raise ValueError("runs must be int64 and have shape (n, 2)")
    if not cnp.PyArray_IS_C_CONTIGUOUS(runs):
        raise ValueError("runs must be C-contiguous")
    return <const Run*> cnp.PyArray_DATA(runs)


cdef cnp.ndarray parse_chars(Chars chars, Shape shape, Result* result):
    runs = new_runs(runs_room(chars.size))
    cdef Run* target = <Run*> cnp.PyArray_DATA(runs)
    with nogil:
        result[0] = parse_text(chars.data, chars.size, shape, target)
    return trim(runs, result.count) if result.error == Error.none else runs


def parse_one(text, int64_t height, int64_t width):
    """Runs of one str, or of a subclass, such as NumPy makes."""
    cdef Shape shape
    cdef Result result
    shape.height, shape.width = height, width
    runs = parse_chars(borrow(text, None, shape), shape, &result)
    if result.error != Error.none:
        raise failure(result, None, shape)
    return runs


cdef Chars chars_of(object column, Py_ssize_t row, Shape shape, bint missing_is_empty) except *:
    """Look at the text of a row."""
    cdef Chars chars
    text = None
    if isinstance(column, ArrowTexts):
        chars = (<ArrowTexts> column).column.row(row)
    else:
        text = (<tuple> column)[row]
        if isinstance(text, str):
            chars = borrow(text, row, shape)
        elif is_missing(text):
            chars.size = -1
        else:
            raise TypeError(f"row {row}: text must be a str, got {type(text).__name__}")
    if chars.size < 0:
        if not missing_is_empty:
            raise missing_row(row, text)
        chars.data, chars.size = b"", 0
    return chars


cdef bint is_refused(object column, Py_ssize_t row, bint missing_is_empty):
    if isinstance(column, ArrowTexts):
        return not missing_is_empty and (<ArrowTexts> column).column.row(row).size < 0
    return not is_readable((<tuple> column)[row], missing_is_empty)


cdef object row_failure(const Result& result, Chars chars, Py_ssize_t row, Shape shape):
    # The same fault as a str would have: positions are characters and not bytes.
    borrow(PyUnicode_DecodeUTF8(chars.data, chars.size, "surrogateescape"), row, shape)
    return failure(result, row, shape)


def parse_row(column not None, Py_ssize_t row, int64_t height, int64_t width, bint missing_is_empty):
    """Runs of one row of a column."""
    cdef Shape shape
    shape.height, shape.width = height, width
    cdef Chars chars = chars_of(column, row, shape, missing_is_empty)
    cdef Result result
    runs = parse_chars(chars, shape, &result)
    if result.error != Error.none:
        raise row_failure(result, chars, row, shape)
    return runs


def paint_rows(
    column not None, Py_ssize_t first, int64_t height, int64_t width, bint missing_is_empty, int64_t threads, painter
):
    """Hand a block of rows from `first` on to a painter, at least one, and return how many they were."""
    cdef const RunSink* sink = <const RunSink*> PyCapsule_GetPointer(painter, kRunSinkName)
    cdef Shape shape
    shape.height, shape.width = height, width
    cdef vector[Chars] texts
    cdef Py_ssize_t row = first
    cdef int64_t total = 0
    cdef int64_t enough = BLOCK_CHARS * min(threads, BLOCK_THREADS)
    while row < len(column) and row - first < BLOCK_ROWS and total < enough:
        # A block ends before a row that is refused, so that faults in the rows before it come first.
        if row > first and is_refused(column, row, missing_is_empty):
            break
        texts.push_back(chars_of(column, row, shape, missing_is_empty))
        total += texts.back().size
        row += 1
    cdef Result result
    cdef int64_t faulty = 0
    with nogil:
        result = parse_texts(texts, shape, first, sink[0], threads, faulty)
    if result.error != Error.none:
        raise row_failure(result, texts[faulty], first + faulty, shape)
    return row - first


def format_one(cnp.ndarray runs not None):
    """Text of runs."""
    cdef const Run* data = data_of(runs)
    cdef int64_t count = cnp.PyArray_DIM(runs, 0)
    cdef int64_t size
    if count == 0:
        return ""
    cdef PyObject* text = PyUnicode_New(text_room(data, count), 127)
    cdef char* target = <char*> PyUnicode_DATA(text)
    try:
        with nogil:
            size = write_text(data, count, target)
        PyUnicode_Resize(&text, size)
        return <str> text
    finally:
        Py_DECREF(text)


cdef object cell_of(const char* data, int64_t size, str dialect):
    """Cell of a dialect: str, bytes or list of int."""
    cdef int64_t i
    cdef Cells cells = <Cells> <int> DIALECTS[dialect][1]
    if cells == Cells.texts or dialect == "coco":
        return PyUnicode_DecodeASCII(data, size, NULL)
    if cells == Cells.strings:
        return data[:size]
    if cells == Cells.bytes:
        return list(data[:size])
    return [(<const int64_t*> data)[i] for i in range(size // <int64_t> sizeof(int64_t))]


cdef list texts_of(const vector[Lines]& groups, int64_t threads):
    """Strs of lines, made by this thread and filled by several; one alone does both at once quicker."""
    cdef vector[char*] places
    cdef size_t group, line
    cdef int64_t start
    texts = []
    for group in range(groups.size()):
        start = 0
        for line in range(groups[group].ends.size()):
            text = <object> PyUnicode_New(groups[group].ends[line] - start, 127)
            Py_DECREF(<PyObject*> text)
            texts.append(text)
            places.push_back(<char*> PyUnicode_DATA(<PyObject*> text))
            start = groups[group].ends[line]
    with nogil:
        copy_lines(groups, places, threads)
    return texts


cdef list cells_of(const vector[Lines]& groups, str dialect):
    cdef size_t group, line
    cdef int64_t start
    cells = []
    for group in range(groups.size()):
        start = 0
        for line in range(groups[group].ends.size()):
            cells.append(cell_of(groups[group].chars.data() + start, groups[group].ends[line] - start, dialect))
            start = groups[group].ends[line]
    return cells


def format_rows(scanner, int64_t first, int64_t last, int64_t threads):
    """Texts of the rows first .. last - 1 of a scanner."""
    cdef const RunSource* source = <const RunSource*> PyCapsule_GetPointer(scanner, kRunSourceName)
    cdef vector[Lines] groups
    with nogil:
        groups = write_texts(source[0], first, last, threads)
    return cells_of(groups, "kaggle") if threads == 1 else texts_of(groups, threads)


cdef Chars borrow_cell(object column, Py_ssize_t row, Shape shape, str dialect, bint missing_is_empty, list kept) except *:
    """Look at the characters, bytes or numbers of a row; those that had to be copied go into `kept`."""
    cdef Chars chars
    cdef Cells cells = <Cells> <int> DIALECTS[dialect][1]
    if cells == Cells.texts:
        return chars_of(column, row, shape, missing_is_empty)
    value = None
    if isinstance(column, ArrowTexts):
        chars = (<ArrowTexts> column).column.row(row)
    else:
        value = (<tuple> column)[row]
        chars.size = -1 if is_missing(value) else 0
    if chars.size < 0 and not missing_is_empty:
        raise missing_row(row, value)
    if chars.size < 0 or isinstance(column, ArrowTexts):
        return chars
    if cells == Cells.numbers:
        value = _cells.numbers(value, row, (shape.height, shape.width), dialect)
        chars.data = <const char*> cnp.PyArray_DATA(<cnp.ndarray> value)
        chars.size = (<cnp.ndarray> value).nbytes
    else:
        value = _cells.string(value, row, (shape.height, shape.width), dialect)
        chars.data, chars.size = <const char*> (<bytes> value), len(<bytes> value)
    kept.append(value)
    return chars


cdef Py_ssize_t borrow_rows(
    object column,
    Py_ssize_t first,
    cnp.ndarray shapes,
    str dialect,
    bint missing_is_empty,
    int64_t threads,
    vector[Row]& rows,
    list kept,
) except -1:
    """Look at a block of rows from `first` on, at least one, and return how many they are."""
    cdef const Shape* shape = <const Shape*> cnp.PyArray_DATA(shapes)
    cdef bint alike = cnp.PyArray_DIM(shapes, 0) == 1
    cdef Py_ssize_t row = first
    cdef int64_t total = 0
    cdef int64_t enough = BLOCK_CHARS * min(threads, BLOCK_THREADS)
    cdef Row cell
    while row < len(column) and row - first < BLOCK_ROWS and total < enough:
        cell.shape = shape[0 if alike else row]
        try:
            cell.chars = borrow_cell(column, row, cell.shape, dialect, missing_is_empty, kept)
        except Exception:
            if row == first:
                raise
            break  # a block ends before a row that is refused, so that faults in the rows before it come first
        rows.push_back(cell)
        total += cell.chars.size
        row += 1
    return row - first


cdef int64_t threads_for(vector[Row]& rows, int64_t threads) noexcept:
    """As many threads as have enough to do, where there are no more than `threads`."""
    cdef int64_t total = 0
    for row in rows:
        total += max(row.chars.size, 0)  # missing: -1
    return min(threads, 1 + total // THREAD_CHARS)


cdef object cell_failure(const Result& result, const Row& cell, Py_ssize_t row, str dialect):
    if <Cells> <int> DIALECTS[dialect][1] == Cells.texts:
        return row_failure(result, cell.chars, row, cell.shape)
    return failure(result, row, cell.shape)


def convert_rows(
    column not None, Py_ssize_t first, cnp.ndarray shapes not None, str source, str target, bint missing_is_empty, int64_t threads
):
    """Cells of a block of rows from `first` on, at least one, in another dialect."""
    cdef vector[Row] rows
    cdef vector[Lines] groups
    cdef Dialect read = <Dialect> <int> DIALECTS[source][0]
    cdef Dialect written = <Dialect> <int> DIALECTS[target][0]
    cdef Result result
    cdef int64_t faulty = 0
    kept = []
    borrow_rows(column, first, shapes, source, missing_is_empty, threads, rows, kept)
    threads = threads_for(rows, threads)
    with nogil:
        result = convert_cells(rows, read, written, threads, groups, faulty)
    if result.error != Error.none:
        raise cell_failure(result, rows[faulty], first + faulty, source)
    return cells_of(groups, target)


def measure_rows(
    column not None,
    Py_ssize_t first,
    cnp.ndarray shapes not None,
    str source,
    bint missing_is_empty,
    int64_t threads,
    cnp.ndarray measures not None,
):
    """Put area, box (top, left, bottom, right) and number of runs of a block of rows into measures[first:]."""
    cdef vector[Row] rows
    cdef Dialect read = <Dialect> <int> DIALECTS[source][0]
    cdef Measure* target = <Measure*> cnp.PyArray_DATA(measures)
    cdef Result result
    cdef int64_t faulty = 0
    kept = []
    cdef Py_ssize_t count = borrow_rows(column, first, shapes, source, missing_is_empty, threads, rows, kept)
    threads = threads_for(rows, threads)
    with nogil:
        result = measure_cells(rows, read, threads, target + first, faulty)
    if result.error != Error.none:
        raise cell_failure(result, rows[faulty], first + faulty, source)
    return count
