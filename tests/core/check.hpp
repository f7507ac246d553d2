// What the tests of the core stop with: a sentence and an abort, which a fuzzer takes for a crash.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace cloudrle {

[[noreturn]] inline void fail(const char* file, int line, const char* condition) {
    std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    std::abort();
}

}  // namespace cloudrle

#define CHECK(condition) static_cast<void>((condition) || (::cloudrle::fail(__FILE__, __LINE__, #condition), false))
