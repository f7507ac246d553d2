// The one table from error code to words. cloudrle/errors.py fills in the fields, which follow Python's str.format.
#pragma once

#include "rle/run.hpp"

namespace cloudrle {

constexpr const char* words(Error error) noexcept {
    switch (error) {
        case Error::none:
            return "";
        case Error::text_nul:
            return "NUL byte at position {position}; wanted digits and white space only";
        case Error::text_not_ascii:
            return "non-ASCII character {character} at position {position}; wanted the digits 0 to 9 and ASCII white "
                   "space only";
        case Error::text_sign:
            return "sign {character} at position {position}; starts and lengths carry no sign, an empty mask is '' and "
                   "a missing one None";
        case Error::text_decimal:
            return "decimal point at position {position}; starts and lengths are whole numbers of pixels";
        case Error::text_character:
            return "{character} at position {position} is neither a digit nor white space; wanted 'start length start "
                   "length ...'";
        case Error::text_too_large:
            return "the number at position {position} does not fit in 64 bits";
        case Error::text_no_length:
            return "run {number} has a start but no length; wanted pairs of numbers, got {value} numbers";
        case Error::text_zero_start:
            return "run {number} starts at 0, but this text counts pixels from 1; to read starts from 0, convert "
                   "from 'zero-based'";
        case Error::text_zero_length:
            return "run {number} has length 0; leave it out (an empty mask is '')";
        case Error::text_starts_past_end:
            return "run {number} starts at {value:,}, past the last pixel of a {height} x {width} mask ({size:,})";
        case Error::text_ends_past_end:
            return "run {number} starts at {other:,} with length {value:,}, past the last pixel of a {height} x "
                   "{width} mask ({size:,}); is the shape (height, width)?";
        case Error::text_unsorted:
            return "run {number} starts at {value:,}, before the start of the previous run ({other:,}); sort the runs";
        case Error::text_overlap:
            return "run {number} starts at {value:,}, inside the previous run, whose last pixel is {other:,}; merge "
                   "the two";
        case Error::ends_sign:
            return "sign {character} at position {position}; starts and ends carry no sign, an empty mask is '' and a "
                   "missing one None";
        case Error::ends_decimal:
            return "decimal point at position {position}; starts and ends are whole numbers of pixels";
        case Error::ends_character:
            return "{character} at position {position} is neither a digit nor white space; wanted 'start end start end "
                   "...'";
        case Error::ends_no_end:
            return "run {number} has a start but no end; wanted pairs of numbers, got {value} numbers";
        case Error::ends_backwards:
            return "run {number} goes from {other:,} to {value:,}, but its last pixel must not lie before its first; "
                   "does the text hold lengths?";
        case Error::ends_past_end:
            return "run {number} ends with pixel {value:,}, past the last pixel of a {height} x {width} mask "
                   "({size:,}); is the shape (height, width)?";
        case Error::gap_past_end:
            return "run {number} starts {value:,} pixels behind the end of the previous run ({other:,}), past the end "
                   "of a {height} x {width} mask ({size:,}); are the starts relative?";
        case Error::run_negative:
            return "run {number} starts at {value:,}, before the first pixel (0)";
        case Error::run_empty:
            return "run {number} is [{value:,}, {other:,}), but a run must end after its start";
        case Error::run_past_end:
            return "run {number} ends at {value:,}, past the end of a {height} x {width} mask ({size:,})";
        case Error::run_unsorted:
            return "run {number} starts at {value:,}, before the start of the previous run ({other:,}); sort the runs";
        case Error::run_overlap:
            return "run {number} starts at {value:,}, before the end of the previous run ({other:,}); merge the two";
        case Error::run_touching:
            return "run {number} starts at {value:,}, where the previous run ends; join the two";
        case Error::run_starts_past_end:
            return "run {number} starts at {value:,}, past the end of a {height} x {width} mask ({size:,} pixels, "
                   "counted from 0)";
        case Error::count_negative:
            return "count {number} is {value:,}; counts are numbers of pixels and never negative";
        case Error::count_past_end:
            return "count {number} reaches past the end of a {height} x {width} mask ({size:,}); is the size [height, "
                   "width]?";
        case Error::counts_too_short:
            return "the counts add up to {value:,}, but a {height} x {width} mask has {size:,} pixels; is the size "
                   "[height, width]?";
        case Error::coco_character:
            return "{character} at position {position} is no character of a COCO string ('0' to 'o')";
        case Error::coco_not_ascii:
            return "non-ASCII byte {value:#x} at position {position}; a COCO string holds the characters '0' to 'o'";
        case Error::coco_too_large:
            return "the number at position {position} does not fit in 64 bits";
        case Error::coco_unfinished:
            return "the COCO string stops inside the number at position {position}; it was cut short";
        case Error::brush_unfinished:
            return "the brush data stops after {value:,} of {other:,} values; it was cut short";
        case Error::brush_word_size:
            return "the brush data has values of {value} bits; Label Studio's have 8";
        case Error::brush_values:
            return "the brush data holds {value:,} values, but a {height} x {width} mask has 4 for each of its "
                   "{size:,} pixels; is the shape (height, width)?";
        case Error::brush_past_end:
            return "the item at byte {position} of the brush data reaches past the last of {other:,} values";
        case Error::brush_trailing:
            return "the brush data goes on behind its last value, at byte {position}; wanted zeros up to the end of "
                   "the byte, or one byte of them";
        case Error::brush_too_large:
            return "a {height} x {width} mask has {size:,} pixels; Label Studio's brush data holds fewer than 2**30";
        case Error::cvat_too_short:
            return "a CVAT mask is counts and then left, top, right, bottom: at least 5 numbers, got {value}";
        case Error::cvat_outside:
            return "number {number}, a side of the box, is {value:,}, outside a {height} x {width} mask; wanted left, "
                   "top, right, bottom, and is the shape (height, width)?";
        case Error::cvat_backwards:
            return "the box goes from {other:,} to {value:,}, but must not end before its start; wanted left, top, "
                   "right, bottom";
        case Error::cvat_count_past_end:
            return "count {number} reaches past the end of the box, which has {other:,} pixels";
        case Error::cvat_counts_too_short:
            return "the counts add up to {value:,}, but the box has {other:,} pixels";
        case Error::cvat_no_pixels:
            return "a {height} x {width} mask has no pixels; a CVAT mask has a box of at least one";
    }
    return "";  // not reached: -Wswitch proves the table complete
}

}  // namespace cloudrle
