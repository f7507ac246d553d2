# What the core offers to bind_text.pyx.

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
    void copy_lines(const vector[Lines]& groups, const vector[char*]& places, int64_t threads) except +


cdef extern from "rle/simd.hpp" namespace "cloudrle" nogil:
    bint lower_level(const char* name) noexcept


cdef extern from "rle/arrow_abi.h" nogil:
    cdef struct ArrowSchema:
        const char* format
        ArrowSchema** children
        ArrowSchema* dictionary
        void (*release)(ArrowSchema*) noexcept

    cdef struct ArrowArray:
        void (*release)(ArrowArray*) noexcept

    cdef struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream*, ArrowSchema*) noexcept
        int (*get_next)(ArrowArrayStream*, ArrowArray*) noexcept
        const char* (*get_last_error)(ArrowArrayStream*) noexcept


cdef extern from "rle/arrow.hpp" namespace "cloudrle" nogil:
    cdef enum class Cells:
        texts
        strings
        bytes
        numbers

    cdef cppclass ArrowColumn:
        bint set_type(const ArrowSchema& schema, Cells cells)
        void append(ArrowArray& array) except +
        int64_t size() noexcept
        Chars row(int64_t row) noexcept



cdef extern from "rle/dialects.hpp" namespace "cloudrle" nogil:
    cdef enum class Dialect:
        kaggle
        kaggle_rows
        zero_based
        ends_inclusive
        ends_exclusive
        relative
        coco
        coco_counts
        label_studio
        cvat

    cdef struct Row:
        Chars chars
        Shape shape

    cdef struct Measure:
        pass

    Result convert_cells "cloudrle::convert_rows"(
        const vector[Row]& rows, Dialect source, Dialect target, int64_t threads, vector[Lines]& groups, int64_t& faulty
    ) except +
    Result measure_cells "cloudrle::measure_rows"(
        const vector[Row]& rows, Dialect source, int64_t threads, Measure* measures, int64_t& faulty
    ) except +
