# cython: boundscheck=False, wraparound=False, autotestdict=False
"""Columns of Python strings <-> runs and offsets. What costs here is Python objects; characters are text.cpp's work."""

import sys

import numpy as np

from cloudrle import _core
from cloudrle.errors import arrow_type, from_result, missing_row

cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t
from libcpp.vector cimport vector

cnp.import_array()


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    str PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)
    object PyUnicode_DecodeUTF8(const char* text, Py_ssize_t size, const char* errors)
    bint PyUnicode_IS_ASCII(object text)
    PyObject* PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar) except NULL
    int PyUnicode_Resize(PyObject** text, Py_ssize_t size) except -1
    void* PyUnicode_DATA(PyObject* text)
    void Py_DECREF(PyObject* text)


cdef extern from "rle/run.hpp" namespace "cloudrle" nogil:
    cdef cppclass Run:
        pass

    cdef cppclass Shape:
        int64_t height
        int64_t width

    cdef enum class Error:
        none
        text_not_ascii

    cdef cppclass Result:
        Error error
        int64_t count
        int64_t position
        int64_t number
        int64_t value
        int64_t other


cdef extern from "rle/words.hpp" namespace "cloudrle" nogil:
    const char* words(Error error) noexcept


cdef extern from "rle/ports.hpp" namespace "cloudrle" nogil:
    cdef struct RunSink:
        pass

    cdef struct RunSource:
        pass

    const char* kRunSinkName
    const char* kRunSourceName


cdef extern from "rle/text.hpp" namespace "cloudrle" nogil:
    cdef struct Chars:
        const char* data
        int64_t size

    cdef cppclass CharBuffer "cloudrle::Buffer<char>":
        const char* data()

    cdef cppclass Lines:
        CharBuffer chars
        vector[int64_t] ends

    int64_t runs_room(int64_t length) noexcept
    Result parse_text(const char* text, int64_t length, Shape shape, Run* runs) noexcept
    Result parse_texts(
        const vector[Chars]& texts, Shape shape, int64_t first, const RunSink& sink, int64_t threads, int64_t& faulty
    ) except +
    int64_t text_room(const Run* runs, int64_t count) noexcept
    int64_t write_text(const Run* runs, int64_t count, char* text) noexcept
    vector[Lines] write_texts(const RunSource& source, int64_t first, int64_t last, int64_t threads) except +


cdef extern from "rle/simd.hpp" namespace "cloudrle" nogil:
    bint lower_level(const char* name) noexcept


cdef extern from "rle/arrow_abi.h" nogil:
    cdef struct ArrowSchema:
        const char* format
        ArrowSchema* dictionary
        void (*release)(ArrowSchema*) noexcept

    cdef struct ArrowArray:
        void (*release)(ArrowArray*) noexcept

    cdef struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream*, ArrowSchema*) noexcept
        int (*get_next)(ArrowArrayStream*, ArrowArray*) noexcept
        const char* (*get_last_error)(ArrowArrayStream*) noexcept


cdef extern from "rle/arrow.hpp" namespace "cloudrle" nogil:
    cdef cppclass ArrowColumn:
        bint set_type(const ArrowSchema& schema)
        void append(ArrowArray& array) except +
        int64_t size() noexcept
        Chars row(int64_t row) noexcept


lower_level(_core.simd_level().encode("ascii"))

# A block of rows ends after so many rows, or so many characters for each thread, whichever comes first.
cdef enum:
    BLOCK_ROWS = 1 << 12
    BLOCK_CHARS = 1 << 20
    BLOCK_THREADS = 8  # more don't make it larger


@cython.final
@cython.auto_pickle(False)
cdef class ArrowTexts:
    """A column that speaks Arrow's C interface, borrowed and not copied."""

    cdef ArrowColumn column

    def __init__(self, column):
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
        if not self.column.set_type(schema):
            values = None if schema.dictionary == NULL else schema.dictionary.format.decode()
            raise arrow_type(schema.format.decode(), values)

    def __len__(self):
        return self.column.size()


cdef object check_stream(ArrowArrayStream* stream, int error):
    if error != 0:
        message = stream.get_last_error(stream)
        raise OSError(error, "no message" if message == NULL else message.decode(errors="replace"))


cdef bint is_missing(object value):
    if value is None:
        return True
    if isinstance(value, float):
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


def format_rows(scanner, int64_t first, int64_t last, int64_t threads):
    """Texts of the rows first .. last - 1 of a scanner."""
    cdef const RunSource* source = <const RunSource*> PyCapsule_GetPointer(scanner, kRunSourceName)
    cdef vector[Lines] groups
    cdef size_t group, line
    cdef int64_t start
    with nogil:
        groups = write_texts(source[0], first, last, threads)
    texts = []
    for group in range(groups.size()):
        start = 0
        for line in range(groups[group].ends.size()):
            texts.append(PyUnicode_DecodeASCII(groups[group].chars.data() + start, groups[group].ends[line] - start, NULL))
            start = groups[group].ends[line]
    return texts
