// Included once for each SIMD level, in a namespace that has pack64, pack_some, store64, store_some, lowest_bit and
// emit. Calls nothing of the standard library's: a template that is instantiated in one target region could be linked
// into code for a lower level.

std::int64_t find_changes(const std::uint8_t* row, std::ptrdiff_t pitch, std::int64_t first, std::int64_t rows,
                          int columns, std::uint64_t* above, Change* changes) noexcept {
    Change* next = changes;
    std::uint64_t before = *above;
    const auto compare = [&](std::int64_t y, std::uint64_t word) {
        *next = {word ^ before, y};
        next += word != before;
        before = word;
    };
    std::int64_t y = first;
    const std::int64_t stop = first + rows;
    if (columns == kColumns) {
        // Four rows at a time: mostly nothing changes, and one branch says so.
        for (; y + 4 <= stop; y += 4, row += 4 * pitch) {
            for (int k = 0; k < 4; ++k) {
                __builtin_prefetch(row + (kRowsAhead + k) * pitch);
                __builtin_prefetch(row + (kRowsAhead + k) * pitch + kColumns - 1);
            }
            const std::uint64_t words[4] = {pack64(row), pack64(row + pitch), pack64(row + 2 * pitch),
                                            pack64(row + 3 * pitch)};
            if (((words[0] ^ before) | (words[1] ^ before) | (words[2] ^ before) | (words[3] ^ before)) == 0) continue;
            for (int k = 0; k < 4; ++k) compare(y + k, words[k]);
        }
        for (; y < stop; ++y, row += pitch) compare(y, pack64(row));
    } else {
        for (; y < stop; ++y, row += pitch) compare(y, pack_some(row, columns));
    }
    *above = before;
    return next - changes;
}

std::int64_t count_boundaries(const Change* changes, std::int64_t count) noexcept {
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < count; ++i) total += __builtin_popcountll(changes[i].columns);
    return total;
}

void place_few(const Change* changes, std::int64_t count, std::int64_t left, std::int64_t height,
               std::int64_t* boundaries) noexcept {
    std::int64_t next[kColumns] = {};  // first the number of each column, then where its next one goes
    for (std::int64_t i = 0; i < count; ++i) {
        for (std::uint64_t bits = changes[i].columns; bits != 0; bits &= bits - 1) ++next[lowest_bit(bits)];
    }
    std::int64_t total = 0;
    for (std::int64_t& column : next) {
        const std::int64_t found = column;
        column = total;
        total += found;
    }
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t position = left * height + changes[i].row;
        for (std::uint64_t bits = changes[i].columns; bits != 0; bits &= bits - 1) {
            const int x = lowest_bit(bits);
            boundaries[next[x]++] = position + x * height;
        }
    }
}

// Bit x of word y becomes bit y of word x (Warren, Hacker's Delight, section 7-3).
void transpose(std::uint64_t* words) noexcept {
    std::uint64_t mask = 0xffffffff;
    for (int width = 32; width != 0; width >>= 1, mask ^= mask << width) {
        for (int group = 0; group < 64; group += 2 * width) {
            for (int k = group; k < group + width; ++k) {
                const std::uint64_t swapped = ((words[k] >> width) ^ words[k + width]) & mask;
                words[k] ^= swapped << width;
                words[k + width] ^= swapped;
            }
        }
    }
}

void place_many(const Change* changes, std::int64_t count, std::int64_t left, std::int64_t height, std::uint64_t* plane,
                std::int64_t* boundaries) noexcept {
    for (std::int64_t i = 0; i < count; ++i) plane[changes[i].row] = changes[i].columns;
    for (std::int64_t y = 0; y < height; y += 64) transpose(plane + y);
    for (std::int64_t x = 0; x < kColumns; ++x) {
        for (std::int64_t y = 0; y < height; y += 64) {
            boundaries = emit(boundaries, plane[y + x], (left + x) * height + y);
        }
    }
}

std::int64_t find_boundaries(const std::uint8_t* pixels, std::int64_t count, std::int64_t position,
                             std::uint64_t* before, std::int64_t* boundaries) noexcept {
    std::int64_t* next = boundaries;
    std::int64_t i = 0;
    const auto compare = [&](std::uint64_t word) {
        next = emit(next, word ^ ((word << 1) | *before), position + i);
        *before = word >> 63;
        i += 64;
    };
    // Four words at a time: mostly nothing changes, and one branch says so.
    while (i + 256 <= count) {
        const std::uint64_t words[4] = {pack64(pixels + i), pack64(pixels + i + 64), pack64(pixels + i + 128),
                                        pack64(pixels + i + 192)};
        const std::uint64_t same = 0 - *before;
        if (((words[0] ^ same) | (words[1] ^ same) | (words[2] ^ same) | (words[3] ^ same)) == 0) {
            i += 256;
            continue;
        }
        for (const std::uint64_t word : words) compare(word);
    }
    while (i + 64 <= count) compare(pack64(pixels + i));
    if (const int rest = static_cast<int>(count - i); rest > 0) {
        const std::uint64_t word = pack_some(pixels + i, rest);
        const std::uint64_t inside = (std::uint64_t{1} << rest) - 1;
        next = emit(next, (word ^ ((word << 1) | *before)) & inside, position + i);
        *before = word >> (rest - 1);
    }
    return next - boundaries;
}

void accumulate(std::uint8_t* bytes, std::int64_t count, std::uint64_t before) noexcept {
    std::uint64_t above = 0 - before;  // every bit is the pixel before
    for (std::int64_t i = 0; i < count; i += 64) {
        std::uint64_t word = pack64(bytes + i);
        for (int width = 1; width < 64; width *= 2) word ^= word << width;
        word ^= above;
        store64(bytes + i, word);
        above = 0 - (word >> 63);
    }
}

void write_rows(const std::uint64_t* changes, std::int64_t rows, int columns, std::uint64_t above, std::uint8_t* row,
                std::ptrdiff_t pitch) noexcept {
    if (columns == kColumns) {
        for (std::int64_t y = 0; y < rows; ++y, row += pitch) store64(row, above ^= changes[y]);
    } else {
        for (std::int64_t y = 0; y < rows; ++y, row += pitch) store_some(row, above ^= changes[y], columns);
    }
}

void write_wide_rows(const std::uint64_t* changes, std::ptrdiff_t stride, std::int64_t rows, int columns,
                     std::uint64_t* above, std::uint8_t* row, std::ptrdiff_t pitch) noexcept {
    if (pitch == columns && write_stream(changes, stride, rows, columns, above, row)) return;
    const int whole = columns / kColumns;
    const int rest = columns % kColumns;
    const int strips = whole + (rest > 0);
    for (std::int64_t y = 0; y < rows; ++y, row += pitch, changes += stride) {
        for (int k = 0; k < strips; ++k) above[k] ^= changes[k];  // apart from the stores, so that it goes by vectors
        for (int k = 0; k < whole; ++k) store64(row + k * kColumns, above[k]);
        if (rest > 0) store_some(row + whole * kColumns, above[whole], rest);
    }
}

void mark_runs(const Run* runs, std::int64_t count, std::int64_t first, std::int64_t height, std::int64_t columns,
               std::uint64_t* changes, std::uint64_t* above) noexcept {
    constexpr int group = 32;
    constexpr int shift = 42;  // the quotient is exact while size * height < 2^42
    const std::int64_t size = height * columns;
    const auto rows = static_cast<std::uint64_t>(height);
    const auto width = static_cast<std::uint64_t>(columns);
    const std::uint64_t strips = (width + kColumns - 1) / kColumns;
    const std::uint64_t reciprocal = (std::uint64_t{1} << shift) / rows + 1;
    for (std::int64_t done = 0; done < count; done += group) {
        const int boundaries = 2 * static_cast<int>(count - done < group ? count - done : group);
        const std::int64_t* const boundary = &runs[done].start;
        std::uint64_t x[2 * group], at[2 * group], bit[2 * group];
        for (int i = 0; i < boundaries; ++i) {  // goes by vectors
            const std::int64_t inside = boundary[i] < first ? 0 : boundary[i] - first;
            const auto position = static_cast<std::uint64_t>(inside < size ? inside : size);
            x[i] = position * reciprocal >> shift;
            at[i] = (position - x[i] * rows) * strips + x[i] / kColumns;
            bit[i] = static_cast<std::uint64_t>(inside < size) << (x[i] % kColumns);
        }
        for (int i = 0; i < boundaries; ++i) changes[at[i]] ^= bit[i];
        for (int i = 0; i < boundaries; i += 2) {
            for (std::uint64_t k = x[i] + 1; k <= x[i + 1] && k < width; ++k) {
                above[k / kColumns] ^= std::uint64_t{1} << (k % kColumns);
            }
        }
    }
}

template <class Element>
void flag(const std::uint8_t* elements, int count, std::uint64_t significant, std::uint8_t* flags) noexcept {
    const auto mask = static_cast<Element>(significant);
    for (int i = 0; i < count; ++i) {
        Element element;
        std::memcpy(&element, elements + static_cast<std::size_t>(i) * sizeof element, sizeof element);
        flags[i] = (element & mask) != 0;
    }
}

constexpr MaskKernels kernels = {find_changes,    count_boundaries,    place_few,           place_many,
                                 find_boundaries, accumulate,          write_rows,          mark_runs,
                                 write_wide_rows, flag<std::uint16_t>, flag<std::uint32_t>, flag<std::uint64_t>};
