"""Builds the tests and fuzzers of the C++ core, which need no Python, and runs them.

    python tests/core/run.py tests     # at every SIMD level, under AddressSanitizer and UndefinedBehaviorSanitizer
    python tests/core/run.py threads   # under ThreadSanitizer
    python tests/core/run.py fuzz      # each target for 5 seconds, under the first two sanitizers
    python tests/core/run.py fuzz -s 1800 pairs coco
    python tests/core/run.py coverage  # lines and branches of src/rle that tests and the inputs so far don't reach

The compiler is that of $CXX, else g++. With clang++ the targets are libFuzzer's; with any other they run in driver.cpp.
What is built, and the inputs found, lie in build/core.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import seeds
import uncovered

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORE = sorted((ROOT / "src" / "rle").glob("*.cpp"))
TARGETS = sorted(path.stem for path in (HERE / "fuzz").glob("*.cpp"))
BUILD = ROOT / "build" / "core"
CXX = os.environ.get("CXX", "g++")
IS_CLANG = "clang" in Path(CXX).name

COMMON = ["-std=c++17", "-g", "-O1", "-ffp-contract=off", "-pthread", "-Wall", "-Wextra", f"-I{ROOT / 'src'}"]
SANITIZERS = [
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-D_GLIBCXX_ASSERTIONS",
]
# Flags of everything, and those of the core alone: only its code guides the fuzzers.
KINDS = {
    "sanitizers": (SANITIZERS, ["-fsanitize=fuzzer-no-link" if IS_CLANG else "-fsanitize-coverage=trace-pc"]),
    "threads": (["-fsanitize=thread"], []),
    "mutants": (["-D_GLIBCXX_ASSERTIONS", "-g0"], []),  # of tests/mutate.py: what is built a hundred times
    "coverage": (["-O0", "--coverage"], []),  # the tests too: headers are compiled into them
}
# Allocations and threads that fail when a test wants them to.
WRAPPED = [
    "_Znwm",
    "_Znam",
    "realloc",
    "_ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE",
]
# Tests in which threads meet.
THREADED = [
    "parts_join",
    "columns_go_over_threads",
    "the_first_fault_of_a_column_counts",
    "stacks_are_painted_side_by_side",
    "every_index_is_worked_on_once",
    "calls_share_the_pool",
    "an_exception_comes_out_of_the_pool",
    "work_is_done_where_threads_cannot_start",
]


def run(*command: object, **environment: str) -> None:
    done = subprocess.run([*map(str, command)], cwd=BUILD, env=os.environ | environment, check=False)
    if done.returncode != 0:
        sys.exit(f"failed with {done.returncode}: {' '.join(map(str, command))}")


class Builder:
    """Compiles what is older than its source or any header, each file once for all programs of a kind."""

    def __init__(self, kind: str) -> None:
        self.flags, self.core_flags = KINDS[kind]
        self.folder = BUILD / f"{kind}-{Path(CXX).name}"
        self.folder.mkdir(parents=True, exist_ok=True)
        headers = [*(ROOT / "src" / "rle").glob("*.[hi]*"), *HERE.glob("*.hpp"), Path(__file__)]
        self.newest_header = max(path.stat().st_mtime for path in headers)

    def programs(self, mains: list[Path], *link_flags: str) -> list[Path]:
        """A program of each source, with the core and, for a fuzz target without libFuzzer, the driver."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            core = pool.map(self.compile, CORE)
            own = pool.map(self.compile, mains)
            shared = list(core)
            return list(pool.map(lambda main: self.link(main, [main, *shared], *link_flags), list(own)))

    def compile(self, source: Path) -> Path:
        target = self.folder / f"{source.parent.name}-{source.stem}.o"
        if not target.exists() or target.stat().st_mtime < max(source.stat().st_mtime, self.newest_header):
            flags = [*self.flags, *(self.core_flags if source in CORE else [])]
            if source.name == "driver.cpp":
                flags = ["-O2"]  # what is not under test should cost nothing
            run(CXX, *COMMON, *flags, "-c", source, "-o", target)
        return target

    def link(self, main: Path, objects: list[Path], *flags: str) -> Path:
        program = main.with_suffix("")
        if not program.exists() or program.stat().st_mtime < max(path.stat().st_mtime for path in objects):
            run(CXX, *COMMON, *self.flags, *flags, *objects, "-o", program)
        return program


def run_tests(kind: str, *names: str) -> None:
    coverage = ["--coverage"] if kind == "coverage" else []
    wrapped = [f"-Wl,--wrap={name}" for name in WRAPPED]
    builder = Builder(kind)
    plain = builder.programs([HERE / "test_core.cpp", HERE / "test_edges.cpp"], *coverage)
    (shortage,) = builder.programs([HERE / "test_shortage.cpp"], *wrapped, *coverage)
    for program in (*plain, shortage):
        run(program, *names)


def build_fuzzers(kind: str, targets: list[str]) -> dict[str, Path]:
    builder = Builder(kind)
    sources = [HERE / "fuzz" / f"{target}.cpp" for target in targets]
    if IS_CLANG and kind != "coverage":
        flags = ["-fsanitize=fuzzer"]
    else:
        flags = [str(builder.compile(HERE / "driver.cpp")), *(["--coverage"] if kind == "coverage" else [])]
    return dict(zip(targets, builder.programs(sources, *flags), strict=True))


def corpus_of(target: str) -> Path:
    folder = BUILD / "corpus" / target
    seeds.write(target, folder)
    return folder


def fuzz(targets: list[str], seconds: int, seed: int) -> None:
    """Run several targets side by side, each from where the last time left off."""
    programs = build_fuzzers("sanitizers", targets)
    limit = [f"-max_total_time={seconds}", "-timeout=60", "-verbosity=0", "-print_final_stats=1"]
    options = limit if IS_CLANG else [f"-seconds={seconds}"]

    def fuzz_one(target: str) -> None:
        folder = BUILD / "found" / target
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [programs[target], *options, f"-seed={seed}", corpus_of(target)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{target} stopped; its input lies in {folder}\n{done.stdout[-8000:]}")
        told = [line for line in done.stdout.splitlines() if line.startswith("stat::") or " runs, " in line]
        sys.stdout.write(f"{target}: {'; '.join(told)}\n")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fuzz_one, targets))


def coverage() -> None:
    """Print what of src/rle neither the tests reach, nor the fuzzers' inputs so far and some changed copies of them."""
    folder = BUILD / f"coverage-{Path(CXX).name}"
    for counts in folder.glob("*.gcda"):
        counts.unlink()
    run_tests("coverage")
    for target, program in build_fuzzers("coverage", TARGETS).items():
        run(program, "-runs=5000", corpus_of(target))
    gcov = "llvm-cov gcov" if IS_CLANG else "gcov"
    report = [sys.executable, "-m", "gcovr", "--root", ROOT, "--filter", f"{ROOT}/src/rle/", folder]
    # Branches that the compiler makes for exceptions are left out, and braces: test_shortage.cpp lets every allocation
    # fail.
    run(
        *report,
        "--gcov-executable",
        gcov,
        "--exclude-throw-branches",
        "--exclude-noncode-lines",
        "--json",
        folder / "counts.json",
    )
    uncovered.report(folder / "counts.json", ROOT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["tests", "threads", "fuzz", "coverage"])
    parser.add_argument("targets", nargs="*", help=f"fuzz targets, else all: {', '.join(TARGETS)}")
    parser.add_argument("-s", "--seconds", type=int, default=5, help="for each target (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of what is changed in the inputs (default: %(default)s)")
    arguments = parser.parse_intermixed_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if arguments.what == "tests":
        run_tests("sanitizers")
    elif arguments.what == "threads":
        run_tests("threads", *THREADED)
    elif arguments.what == "fuzz":
        fuzz(arguments.targets or TARGETS, arguments.seconds, arguments.seed)
    else:
        coverage()


if __name__ == "__main__":
    main()
