# cython: boundscheck=False, wraparound=False, autotestdict=False
"""Columns of Python strings <-> runs and offsets. What costs here is Python objects; characters are text.cpp's work."""

import sys

import numpy as np

from cloudrle.errors import from_result, missing_row

from libc.stdint cimport int64_t
from libcpp.vector cimport vector


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    bint PyUnicode_IS_ASCII(object text)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_DATA(object text)


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


cdef extern from "rle/text.hpp" namespace "cloudrle" nogil:
    int64_t count_numbers(const char* text, int64_t length) noexcept
    Result parse_text(const char* text, int64_t length, Shape shape, Run* runs) noexcept
    int64_t text_length(const Run* runs, int64_t count) noexcept
    void write_text(const Run* runs, int64_t count, char* text) noexcept


cdef struct Chars:
    const char* data
    Py_ssize_t size


# A block of rows ends after so many characters or rows, whichever comes first.
cdef enum:
    BLOCK_CHARS = 1 << 20
    BLOCK_ROWS = 1 << 12


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
    if not PyUnicode_IS_ASCII(text):
        result.error = Error.text_not_ascii
        result.position, character = next((i, c) for i, c in enumerate(text) if c > "\x7f")
        result.value = ord(character)
        raise failure(result, row, shape)
    chars.data = PyUnicode_AsUTF8AndSize(text, &chars.size)
    return chars


cdef object parse(const vector[Chars]& texts, object first_row, Shape shape):
    """Parse a block of rows; first_row is None where rows have no number."""
    cdef size_t i
    cdef int64_t total = 0
    cdef Result result
    with nogil:
        for i in range(texts.size()):
            total += (count_numbers(texts[i].data, texts[i].size) + 1) // 2
    runs = np.empty((total, 2), dtype=np.int64)
    offsets = np.zeros(texts.size() + 1, dtype=np.int64)
    cdef int64_t[:, ::1] runs_view = runs
    cdef int64_t[::1] offsets_view = offsets
    cdef Run* target = <Run*> &runs_view[0, 0]
    total = 0
    with nogil:
        for i in range(texts.size()):
            result = parse_text(texts[i].data, texts[i].size, shape, target + total)
            if result.error != Error.none:
                break
            total += result.count
            offsets_view[i + 1] = total
    if result.error != Error.none:
        raise failure(result, None if first_row is None else first_row + i, shape)
    return (runs if total == len(runs) else runs[:total].copy()), offsets


def parse_text_runs(text, int64_t height, int64_t width):
    """Runs of one text."""
    cdef Shape shape
    shape.height, shape.width = height, width
    cdef vector[Chars] texts
    texts.push_back(borrow(text, None, shape))
    runs, _ = parse(texts, None, shape)
    return runs


def parse_rows(tuple texts not None, Py_ssize_t first, int64_t height, int64_t width, bint missing_is_empty):
    """Runs and offsets of a block of rows: as many from `first` on as make up a block, and at least one."""
    cdef Shape shape
    shape.height, shape.width = height, width
    cdef vector[Chars] block
    cdef Chars chars
    cdef Py_ssize_t row = first
    cdef Py_ssize_t total = 0
    while row < len(texts) and row - first < BLOCK_ROWS and total < BLOCK_CHARS:
        text = texts[row]
        if row > first and not is_readable(text, missing_is_empty):
            break  # the next block begins with it, so that faults in the rows before it come first
        if isinstance(text, str):
            chars = borrow(text, row, shape)
        elif not is_missing(text):
            raise TypeError(f"row {row}: text must be a str, got {type(text).__name__}")
        elif missing_is_empty:
            chars.data, chars.size = b"", 0
        else:
            raise missing_row(row, text)
        block.push_back(chars)
        total += chars.size
        row += 1
    return parse(block, first, shape)


def format_rows(const int64_t[:, ::1] runs not None, const int64_t[::1] offsets not None):
    """Text of each row of runs."""
    cdef const Run* data = <const Run*> &runs[0, 0]
    cdef Py_ssize_t row
    cdef int64_t start, count, size
    cdef char* target
    if runs.shape[1] != 2:
        raise ValueError("runs must have shape (n, 2)")
    texts = []
    for row in range(offsets.shape[0] - 1):
        start, count = offsets[row], offsets[row + 1] - offsets[row]
        if start < 0 or count < 0 or start + count > runs.shape[0]:
            raise ValueError("offsets must rise within runs")
        with nogil:
            size = text_length(data + start, count)
        text = PyUnicode_New(size, 127)
        target = <char*> PyUnicode_DATA(text)
        with nogil:
            write_text(data + start, count, target)
        texts.append(text)
    return texts
