#include "rle/brush.hpp"

#include <algorithm>
#include <array>

namespace cloudrle {
namespace {

// A head of 32 bits for the number of values, 5 for their width less 1 and 4 for each width of a length less 1; then
// items: a bit that says whether one value repeats, 2 bits that choose the width of the length, the length less 1, and
// the value, or as many values as the length says.
constexpr int kCountBits = 32;
constexpr int kWordBits = 5;
constexpr int kWidthBits = 4;
constexpr int kHeadBits = kCountBits + kWordBits + 4 * kWidthBits;
constexpr int kValueBits = 8;
constexpr std::array<int, 4> kWidths{3, 4, 8, 16};
constexpr std::int64_t kChannels = 4;
constexpr std::int64_t kMostPixels = std::int64_t{1} << 30;  // whose values no longer fit in 32 bits

class BitReader {
  public:
    BitReader(const char* bytes, std::int64_t length) noexcept : bytes_(bytes), bits_(8 * length) {}

    std::int64_t left() const noexcept { return bits_ - at_; }
    std::int64_t byte() const noexcept { return at_ / 8; }

    // Of at most 32 bits, that there are.
    std::int64_t read(int bits) noexcept {
        std::int64_t value = 0;
        while (bits > 0) {
            const int room = 8 - static_cast<int>(at_ % 8);
            const int taken = std::min(room, bits);
            const int byte = static_cast<unsigned char>(bytes_[at_ / 8]);
            value = value << taken | ((byte >> (room - taken)) & ((1 << taken) - 1));
            bits -= taken;
            at_ += taken;
        }
        return value;
    }

  private:
    const char* bytes_;
    std::int64_t bits_;
    std::int64_t at_ = 0;
};

class BitWriter {
  public:
    explicit BitWriter(Buffer<char>& bytes) noexcept : bytes_(bytes) {}

    void write(std::int64_t value, int bits) {
        pending_ = pending_ << bits | static_cast<std::uint64_t>(value);
        held_ += bits;
        while (held_ >= 8) {
            held_ -= 8;
            put(pending_ >> held_);
        }
    }

    // Fills the last byte with zeros; where it is full, there comes one more.
    void finish() { put(pending_ << (8 - held_)); }

  private:
    void put(std::uint64_t byte) {
        *bytes_.room(1) = static_cast<char>(byte & 0xff);
        bytes_.add(1);
    }

    Buffer<char>& bytes_;
    std::uint64_t pending_ = 0;
    int held_ = 0;  // bits of it that are still to be written, below 8 between calls
};

void write_values(std::int64_t count, int value, BitWriter& bits) {
    constexpr std::int64_t most = std::int64_t{1} << kWidths.back();
    for (; count > most; count -= most) {
        bits.write(0b111, 3);
        bits.write(most - 1, kWidths.back());
        bits.write(value, kValueBits);
    }
    if (count == 0) return;
    std::size_t width = 0;
    while (count > std::int64_t{1} << kWidths[width]) ++width;
    bits.write(0b100 | static_cast<std::int64_t>(width), 3);
    bits.write(count - 1, kWidths[width]);
    bits.write(value, kValueBits);
}

}  // namespace

Result parse_brush(const char* bytes, std::int64_t length, Shape shape, Boundaries& rows) {
    BitReader bits(bytes, length);
    const std::int64_t before = rows.size();
    std::int64_t total = kChannels * std::min(shape.size(), kMostPixels);
    const auto cut_short = [&](std::int64_t values) {
        return Result{Error::brush_unfinished, 0, length, 0, values, total};
    };
    if (bits.left() < kHeadBits) return cut_short(0);
    total = bits.read(kCountBits);
    if (total % kChannels != 0 || total / kChannels != shape.size()) return {Error::brush_values, 0, 0, 0, total};
    const std::int64_t word = bits.read(kWordBits) + 1;
    if (word != kValueBits) return {Error::brush_word_size, 0, kCountBits / 8, 0, word};
    std::array<int, 4> widths{};
    for (int& width : widths) width = static_cast<int>(bits.read(kWidthBits)) + 1;

    for (std::int64_t at = 0; at < total;) {
        const std::int64_t item = bits.byte();
        if (bits.left() < 3) return cut_short(at);
        const bool repeats = bits.read(1) != 0;
        const int width = widths[static_cast<std::size_t>(bits.read(2))];
        if (bits.left() < width) return cut_short(at);
        const std::int64_t count = bits.read(width) + 1;
        if (count > total - at) return {Error::brush_past_end, 0, item, 0, count, total};
        if (repeats) {
            if (bits.left() < kValueBits) return cut_short(at);
            const std::int64_t first = at / kChannels;  // of the pixels whose fourth value comes now
            const std::int64_t end = (at + count) / kChannels;
            if (bits.read(kValueBits) != 0 && first < end) append_run(first, end, rows);
            at += count;
        } else {
            for (const std::int64_t end = at + count; at < end; ++at) {
                if (bits.left() < kValueBits) return cut_short(at);
                const bool painted = bits.read(kValueBits) != 0;
                if (painted && at % kChannels == kChannels - 1) append_run(at / kChannels, at / kChannels + 1, rows);
            }
        }
    }
    const std::int64_t end = bits.byte();
    const std::int64_t left = bits.left();
    if (left > 8 || bits.read(static_cast<int>(left)) != 0) return {Error::brush_trailing, 0, end};
    return {Error::none, (rows.size() - before) / 2};
}

Result write_brush(const Run* rows, std::int64_t count, Shape shape, Buffer<char>& bytes) {
    if (shape.size() >= kMostPixels) return {Error::brush_too_large};
    BitWriter bits(bytes);
    bits.write(kChannels * shape.size(), kCountBits);
    bits.write(kValueBits - 1, kWordBits);
    for (const int width : kWidths) bits.write(width - 1, kWidthBits);
    std::int64_t at = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        write_values(kChannels * (rows[i].start - at), 0, bits);
        write_values(kChannels * (rows[i].end - rows[i].start), 0xff, bits);
        at = rows[i].end;
    }
    write_values(kChannels * (shape.size() - at), 0, bits);
    bits.finish();
    return {};
}

}  // namespace cloudrle
