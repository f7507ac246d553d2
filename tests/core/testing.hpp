// What the test programs of the core share.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "plain.hpp"
#include "rle/text.hpp"

// The core's objects are those of the fuzzers, which want to know what code is reached.
extern "C" inline __attribute__((used)) void __sanitizer_cov_trace_pc() {}

namespace cloudrle {

template <class Exception, class Call>
bool throws(const Call& call) {
    try {
        call();
    } catch (const Exception&) {
        return true;
    }
    return false;
}

// Pixels of which about so many in 256 differ from the one before.
inline Dense noise(std::int64_t size, unsigned changing) {
    Dense pixels(as_size(size));
    std::uint64_t state = 1;
    std::uint8_t value = 0;
    for (std::uint8_t& pixel : pixels) {
        state = state * 6364136223846793005 + 1442695040888963407;
        value ^= (state >> 56) < changing;
        pixel = value;
    }
    return pixels;
}

// Rows of a column, each a mask of its own.
struct Rows {
    explicit Rows(std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) {
            masks.push_back(plain_runs(noise(shape.size() - i % 7, static_cast<unsigned>(i % 40))));
            std::string text(as_size(text_room(masks.back().data(), view_of(masks.back()).count)), ' ');
            text.resize(as_size(write_text(masks.back().data(), view_of(masks.back()).count, text.data())));
            texts.push_back(text);
        }
    }

    std::vector<Chars> chars() const {
        std::vector<Chars> chars;
        for (const std::string& text : texts) chars.push_back({text.data(), static_cast<std::int64_t>(text.size())});
        return chars;
    }

    Shape shape{30, 40};
    std::vector<std::vector<Run>> masks;
    std::vector<std::string> texts;
};

struct Test {
    const char* name;
    void (*run)();
};
#define CLOUDRLE_TEST(name) \
    ::cloudrle::Test { #name, name }

// All tests, or those whose names are the arguments.
inline int run_tests(int argc, char** argv, std::initializer_list<Test> tests) {
    for (const Test& test : tests) {
        bool wanted = argc == 1;
        for (int i = 1; i < argc; ++i) wanted |= std::strcmp(argv[i], test.name) == 0;
        if (!wanted) continue;
        const auto start = std::chrono::steady_clock::now();
        test.run();
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        std::printf("%s: %.1f s\n", test.name, seconds.count());
        std::fflush(stdout);
    }
    return 0;
}

}  // namespace cloudrle
