// Columns in Arrow's layouts, in chunks and at offsets, against the cells that they were made of.
#include "rle/arrow.hpp"

#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"

using namespace cloudrle;

namespace {

using Cell = std::optional<std::string>;  // missing, or bytes

struct Format {
    const char* name;
    const char* item;  // of a list
    Cells cells;
};
constexpr Format kFormats[] = {{"u", "", Cells::texts},     {"U", "", Cells::texts},   {"vu", "", Cells::texts},
                               {"z", "", Cells::strings},   {"Z", "", Cells::bytes},   {"vz", "", Cells::bytes},
                               {"+l", "C", Cells::bytes},   {"+L", "C", Cells::bytes}, {"+l", "l", Cells::numbers},
                               {"+L", "l", Cells::numbers}, {"n", "", Cells::texts}};

// An array with all that it points to, which goes when the column lets go of it.
struct Held {
    std::vector<std::unique_ptr<Guarded<std::uint8_t>>> bytes;
    std::vector<const void*> buffers;
    std::vector<const void*> child_buffers;
    ArrowArray child{};
    ArrowArray* children[1] = {&child};

    const void* keep(const std::string& text) {
        bytes.push_back(std::make_unique<Guarded<std::uint8_t>>(static_cast<std::int64_t>(text.size())));
        if (!text.empty()) std::memcpy(bytes.back()->data(), text.data(), text.size());
        return bytes.back()->data();
    }
};

int released = 0;

void release(ArrowArray* array) {
    delete static_cast<Held*>(array->private_data);
    array->release = nullptr;
    ++released;
}

template <class Number>
void put(std::string& text, Number number) {
    text.append(reinterpret_cast<const char*>(&number), sizeof number);
}

// The bytes of a view: short texts lie in it, long ones in a buffer.
std::string view_of(const std::string& text, std::string& buffer) {
    std::string view;
    put(view, static_cast<std::int32_t>(text.size()));
    if (text.size() <= 12) {
        view += text;
        view.resize(16);
    } else {
        view += text.substr(0, 4);
        put(view, std::int32_t{0});
        put(view, static_cast<std::int32_t>(buffer.size()));
        buffer += text;
    }
    return view;
}

// The cells lie behind `offset` others.
ArrowArray make(const std::vector<Cell>& cells, const Format& format, std::int64_t offset, bool bitmap) {
    auto held = std::make_unique<Held>();
    const std::string name = format.name;
    const bool wide = name == "U" || name == "Z" || name == "+L";
    const std::size_t item = *format.item == 'l' ? 8 : 1;
    std::string valid, offsets, chars, views;
    const std::int64_t total = offset + static_cast<std::int64_t>(cells.size());
    valid.resize(as_size((total + 7) / 8), '\0');
    const auto put_offset = [&] {
        wide ? put(offsets, static_cast<std::int64_t>(chars.size() / item))
             : put(offsets, static_cast<std::int32_t>(chars.size() / item));
    };
    put_offset();
    for (std::int64_t i = 0; i < total; ++i) {
        const Cell cell = i < offset ? Cell("before it") : cells[as_size(i - offset)];
        std::string text = cell.value_or("");
        text.resize(text.size() / item * item);
        if (cell) valid[as_size(i / 8)] = static_cast<char>(valid[as_size(i / 8)] | 1 << (i % 8));
        if (name[0] == 'v') {
            views += view_of(text, chars);
        } else {
            chars += text;
            put_offset();
        }
    }
    held->buffers = {bitmap ? held->keep(valid) : nullptr, held->keep(name[0] == 'v' ? views : offsets)};
    if (name[0] == '+') {
        held->child_buffers = {nullptr, held->keep(chars)};
        held->child.length = static_cast<std::int64_t>(chars.size() / item);
        held->child.buffers = held->child_buffers.data();
    } else {
        held->buffers.push_back(held->keep(chars));
    }
    ArrowArray array{};
    array.length = total - offset;
    array.offset = offset;
    array.buffers = held->buffers.data();
    array.children = held->children;
    array.release = &release;
    array.private_data = held.release();
    return array;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const Format& format = kFormats[input.below(static_cast<std::int64_t>(std::size(kFormats)))];
    ArrowSchema item{};
    item.format = format.item;
    ArrowSchema* items[] = {&item};
    ArrowSchema schema{};
    schema.format = format.name;
    schema.children = items;
    const bool nulls_alone = *format.name == 'n';

    std::vector<Cell> all;
    released = 0;
    int arrays = 0;
    {
        ArrowColumn column;
        CHECK(column.set_type(schema, format.cells));
        for (; !input.at_end() && arrays < 8; ++arrays) {
            std::vector<Cell> cells;
            const bool bitmap = input.flag();
            const std::int64_t offset = input.below(12);
            for (std::int64_t count = input.below(20); count > 0; --count) {
                const bool missing = bitmap && input.below(4) == 0;
                std::string text;
                for (std::int64_t length = input.below(30); length > 0; --length)
                    text += static_cast<char>(input.number(1));
                cells.push_back(missing ? Cell() : Cell(text));
            }
            ArrowArray array = make(cells, format, offset, bitmap);
            column.append(array);
            CHECK(array.release == nullptr);
            all.insert(all.end(), cells.begin(), cells.end());
        }
        CHECK(column.size() == static_cast<std::int64_t>(all.size()));
        for (std::int64_t i = 0; i < column.size(); ++i) {
            const Chars chars = column.row(i);
            const Cell& cell = all[as_size(i)];
            CHECK((chars.size < 0) == (nulls_alone || !cell));
            if (chars.size < 0) continue;
            std::string wanted = *cell;
            if (*format.item == 'l') wanted.resize(wanted.size() / 8 * 8);
            CHECK(std::string(chars.data, as_size(chars.size)) == wanted);
        }
    }
    CHECK(released == arrays);
    return 0;
}
