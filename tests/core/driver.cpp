// Stands in for libFuzzer where there is none: main() of a fuzz target, with libFuzzer's way to call it.
//
//     target [-runs=N] [-seconds=N] [-seed=N] [-max_len=N] [CORPUS or FILE ...]
//
// Runs what the folders and files hold; then, where there is a folder, changed copies of it and puts those that reach
// new code into the first. Reached code is told by GCC's -fsanitize-coverage=trace-pc. An input that stops the process
// is left in crash-input.
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// After the report, abort(): the handler below then saves the input.
extern "C" const char* __asan_default_options() { return "abort_on_error=1:handle_segv=1:allocator_may_return_null=1"; }
extern "C" const char* __ubsan_default_options() { return "abort_on_error=1:print_stacktrace=1"; }

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kEdges = 1 << 16;
std::array<std::uint8_t, kEdges> counts;  // of the present run: how often each edge was taken
std::array<std::uint8_t, kEdges> seen;    // a bit for each order of magnitude of that
thread_local std::uintptr_t before = 0;

Bytes present;

// Seconds of the processor for an input, or a few: a busy machine makes nothing too slow.
void set_alarm() {
    constexpr itimerval patience{{0, 0}, {60, 0}};
    setitimer(ITIMER_PROF, &patience, nullptr);
}

void save_and_die(int signal) {
    if (std::FILE* const file = std::fopen("crash-input", "wb")) {
        std::fwrite(present.data(), 1, present.size(), file);
        std::fclose(file);
    }
    std::fprintf(stderr, "%s; the input is in crash-input\n", signal == SIGPROF ? "too slow" : "stopped");
    std::signal(SIGABRT, SIG_DFL);
    std::abort();
}

class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}

    std::uint64_t number() {  // splitmix64
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    std::size_t below(std::size_t limit) { return limit == 0 ? 0 : number() % limit; }

  private:
    std::uint64_t state_;
};

void replace_number(Bytes& bytes, Random& random) {
    static const char* const numbers[] = {"0",
                                          "1",
                                          "-1",
                                          "255",
                                          "65536",
                                          "2147483648",
                                          "4294967296",
                                          "9999999999999999",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "18446744073709551616"};
    std::size_t first = random.below(bytes.size());
    const auto is_digit = [&](std::size_t i) { return i < bytes.size() && '0' <= bytes[i] && bytes[i] <= '9'; };
    while (first < bytes.size() && !is_digit(first)) ++first;
    std::size_t last = first;
    while (is_digit(last)) ++last;
    const std::string number = random.below(3) == 0 ? numbers[random.below(std::size(numbers))]
                                                    : std::to_string(random.number() >> random.below(64));
    bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(first), bytes.begin() + static_cast<std::ptrdiff_t>(last));
    bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(first), number.begin(), number.end());
}

void change(Bytes& bytes, const std::vector<Bytes>& corpus, Random& random) {
    const auto at = [&](std::size_t i) { return bytes.begin() + static_cast<std::ptrdiff_t>(i); };
    const std::size_t place = random.below(bytes.size());
    switch (bytes.empty() ? 2 : random.below(8)) {
        case 0:
            bytes[place] ^= static_cast<std::uint8_t>(1 << random.below(8));
            break;
        case 1:
            bytes[place] = static_cast<std::uint8_t>(random.number());
            break;
        case 2:
            for (std::size_t i = 1 + random.below(8); i > 0; --i)
                bytes.insert(at(place), static_cast<std::uint8_t>(random.number()));
            break;
        case 3:
            bytes.erase(at(place), at(std::min(bytes.size(), place + 1 + random.below(8))));
            break;
        case 4:
            bytes[place] = static_cast<std::uint8_t>(bytes[place] + random.below(9) - 4);
            break;
        case 5: {  // a piece of its own once more
            const Bytes piece(at(place), at(std::min(bytes.size(), place + 1 + random.below(64))));
            bytes.insert(at(random.below(bytes.size())), piece.begin(), piece.end());
            break;
        }
        case 6: {  // the end of another
            const Bytes& other = corpus[random.below(corpus.size())];
            bytes.resize(place);
            bytes.insert(bytes.end(), other.begin() + static_cast<std::ptrdiff_t>(random.below(other.size())),
                         other.end());
            break;
        }
        default:
            replace_number(bytes, random);
    }
}

// Whether the run took an edge that none took before, or more often.
bool is_new() {
    bool found = false;
    for (std::size_t i = 0; i < kEdges; ++i) {
        std::uint64_t eight;
        std::memcpy(&eight, &counts[i / 8 * 8], sizeof eight);
        if (eight == 0) i += 7;
        if (eight == 0 || counts[i] == 0) continue;
        const auto bit = static_cast<std::uint8_t>(1 << (31 - __builtin_clz(counts[i])));
        found |= (seen[i] & bit) == 0;
        seen[i] |= bit;
    }
    return found;
}

bool run() {
    counts.fill(0);
    before = 0;
    const std::size_t size = present.size();
    std::uint8_t* const exact = static_cast<std::uint8_t*>(std::malloc(size == 0 ? 1 : size));  // ends where it ends
    std::copy(present.begin(), present.end(), exact);
    LLVMFuzzerTestOneInput(exact, size);
    std::free(exact);
    return is_new();
}

Bytes read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void save(const std::filesystem::path& folder) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const std::uint8_t byte : present) hash = (hash ^ byte) * 0x100000001b3;
    std::array<char, 17> name{};
    std::snprintf(name.data(), name.size(), "%016llx", static_cast<unsigned long long>(hash));
    std::ofstream(folder / name.data(), std::ios::binary)
        .write(reinterpret_cast<const char*>(present.data()), static_cast<std::streamsize>(present.size()));
}

}  // namespace

extern "C" void __sanitizer_cov_trace_pc() {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
    const std::size_t edge = ((here >> 1) ^ before * 31) % kEdges;
    counts[edge] = static_cast<std::uint8_t>(counts[edge] + (counts[edge] < 255));
    before = here;
}

int main(int argc, char** argv) {
    std::uint64_t runs = ~std::uint64_t{0};
    std::uint64_t seconds = ~std::uint64_t{0};
    std::uint64_t seed = 1;
    std::size_t longest = 4096;
    std::vector<std::filesystem::path> folders;
    std::vector<std::filesystem::path> files;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        const auto number = [&] { return std::stoull(argument.substr(argument.find('=') + 1)); };
        const auto is = [&](const char* name) { return argument.rfind(name, 0) == 0; };
        if (is("-runs="))
            runs = number();
        else if (is("-seconds="))
            seconds = number();
        else if (is("-seed="))
            seed = number();
        else if (is("-max_len="))
            longest = number();
        else if (std::filesystem::is_directory(argument))
            folders.emplace_back(argument);
        else
            files.emplace_back(argument);
    }
    for (const int signal : {SIGABRT, SIGPROF}) std::signal(signal, save_and_die);
    for (const auto& folder : folders)
        for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());

    std::vector<Bytes> corpus;
    std::uint64_t done = 0;
    for (const auto& file : files) {
        set_alarm();
        present = read(file);
        run();
        corpus.push_back(present);
        ++done;
    }
    if (corpus.empty()) corpus.emplace_back();
    Random random(seed);
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const auto elapsed = [&] {
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - start).count());
    };
    for (; !folders.empty() && done < runs; ++done) {
        if (done % 64 == 0) {
            set_alarm();
            if (elapsed() >= seconds) break;
        }
        present = corpus[random.below(corpus.size())];
        for (std::size_t i = 1 + random.below(6); i > 0; --i) change(present, corpus, random);
        if (present.size() > longest) present.resize(longest);
        if (run()) {
            corpus.push_back(present);
            save(folders.front());
        }
    }
    std::size_t edges = 0;
    for (const std::uint8_t bits : seen) edges += bits != 0;
    std::printf("%llu runs, %zu inputs, %zu edges\n", static_cast<unsigned long long>(done), corpus.size(), edges);
    return 0;
}
