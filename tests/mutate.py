"""Makes small changes to the code, one at a time, and says which of them no test notices.

    python tests/mutate.py --sample 100                          # of src/rle, by the core's C++ tests and fuzz targets
    python tests/mutate.py --sample 50 cloudseg_sdk/metrics.py   # by the module's own tests, which MODULES names

A change turns an operator, a comparison or a number into its neighbour. What survives is either something that no test
asks for, or a change that changes nothing: EQUIVALENT names those, with the reason. All work is done on a copy in
build/mutants. What survives without sanitizers, which take several times as long, is tried once more with them.
"""

import argparse
import io
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "mutants"
CORE_TESTS = ROOT / "tests" / "core"
MODULES = {
    "cloudseg_sdk/metrics.py": ["tests/test_metrics.py"],
    "cloudseg_sdk/training/losses.py": ["tests/test_losses.py"],
    "cloudseg_sdk/inference/postprocess.py": ["tests/test_metrics.py"],
}
FLIPS = {
    **{"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "+", "/": "*"},
    **{"//": "*", "%": "/", "**": "*", "+=": "-=", "-=": "+=", "*=": "+=", "&": "|", "|": "&", "^": "&", "<<": ">>"},
    **{">>": "<<", "&&": "||", "||": "&&", "&=": "|=", "|=": "&=", "^=": "|=", "++": "--", "--": "++", "!": ""},
    **{"and": "or", "or": "and", "not": "", "true": "false", "false": "true", "True": "False", "False": "True"},
    **{"min": "max", "max": "min", "lower_bound": "upper_bound", "upper_bound": "lower_bound"},
}
SLOWER = "numbers that seem empty or long are left to the slow way; benchmarks/instructions.py sees that"
ROOM = "more room than needed costs memory alone"
# File, a part of the line, reason.
EQUIVALENT = (
    ("resize_runs.cpp", "std::swap(first_, second_)", "which column is kept from the last time costs time alone"),
    ("mask.cpp", "const bool columns_in_memory", "where the strides are alike, both ways read the same"),
    ("postprocess.py", "threads=1", "any number of threads gives the same"),
    ("postprocess.py", "zip(rles, present, strict=True)", "both have the length of the classes"),
    ("postprocess.py", "reshape(pixels, -1)", "NumPy takes any negative size for the one that is left over"),
    ("text_kernels.cpp", "if (read < 8)", "what is not read now is read by the next call"),
    ("dialects.cpp", '2 -> 3 in: std::copy_n("-1", 2, ', "a byte more lies where the next row comes, or in spare room"),
    ("columns.hpp", "0 -> 1 in: if (guess > 0", "the search finds what the guess has found"),
    ("text_kernels.cpp", "<< -> >> in: std::uint64_t{static_cast<std::uint32_t>(_mm256_movemask_epi8(high))}", SLOWER),
    ("algebra.cpp", "2 -> 3 in: std::int64_t* const out = boundaries.room", ROOM),
    ("transpose.cpp", "1 -> 2 in: std::int64_t* const boundaries = transposed.room", ROOM),
    ("mask_kernels.inl", "__builtin_prefetch", "prefetching changes time alone"),
    ("pieces.hpp", "0 -> 1 in: for (std::size_t first = 0, last = 0;", "the last is set before it is read"),
    ("axis.hpp", "*= -> += in: step *= 2", "a slower search finds the same"),
    ("mask_kernels.inl", "while (i + 256 <= count)", "the loop behind it looks at what this one leaves"),
    ("buffer.hpp", "0 -> 1 in: if (boundaries.size() > 0", "there are two for each run"),
    ("text_kernels.cpp", "++i, bits &= bits - 1", SLOWER),
    ("coco.cpp", "0 -> 1 in: : Result{Error::count_past_end", "nobody asks a failure for its count"),
    ("text.cpp", "0 -> 1 in: if (i > 0)", "it goes up by two"),
    ("text.cpp", "0 -> 1 in: std::int64_t previous_start = 0", "it is set before it is read"),
    ("moves.cpp", "boundaries.room(3 * count + 2)", ROOM),
    ("coco.cpp", "< -> <= in: failure = number < -before", "where they are alike the count is 0, which is none"),
    ("polygon.cpp", "&& -> || in: if ((step > 1", "the search finds the step that the guess has found"),
)

# C++ as clang-format writes it: a binary operator has spaces round it, which a template's brackets have not.
_BINARY = r"(?<= )(?:<=|>=|==|!=|&&|\|\||<<|>>|[-+*/&|^]=|[-+*/%&|^<>])(?= )"
_CPP_TOKEN = re.compile(
    rf"(?P<skip>//.*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])'|\b[A-Za-z_]\w*<[^ ;()]*>)|{_BINARY}"
    r"|\+\+|--|!(?=[\w(*])|\b(?:true|false|min|max|lower_bound|upper_bound)\b|(?<![\w.])(?:0x[0-9a-fA-F]+|\d+)(?![\w.])"
)


@dataclass(frozen=True)
class Mutant:
    """A change of one token, by its place in the text."""

    path: Path  # in the repository
    line: int
    start: int
    end: int
    old: str
    new: str

    def text(self) -> str:
        """The file with the change."""
        text = (ROOT / self.path).read_text(encoding="utf-8")
        return text[: self.start] + self.new + text[self.end :]

    def __str__(self) -> str:
        """Place and change."""
        source = (ROOT / self.path).read_text(encoding="utf-8").splitlines()[self.line - 1].strip()
        return f"{self.path}:{self.line}: {self.old} -> {self.new or 'nothing'} in: {source}"


def flipped(token: str) -> str | None:
    """The neighbour of a token; None where it has none."""
    if not token[0].isdigit():
        return FLIPS.get(token)
    if token.startswith("0x"):
        return hex(int(token, 16) + 1)
    return str(int(token) + 1 if token.isdigit() else float(token) + 1)


def cpp_tokens(text: str) -> Iterator[tuple[int, str]]:
    """Offsets and texts of tokens that may be changed."""
    offset = 0
    for line in text.splitlines(keepends=True):
        if not line.startswith(("#", "static_assert", "template")):
            for match in _CPP_TOKEN.finditer(line):
                if not match["skip"]:
                    yield offset + match.start(), match[0]
        offset += len(line)


def python_tokens(text: str) -> Iterator[tuple[int, str]]:
    """The same of Python."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.OP, tokenize.NAME, tokenize.NUMBER) and token.string != "|":  # of two types
            yield starts[token.start[0] - 1] + token.start[1], token.string


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All changes of a file."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for start, token in (python_tokens if path.suffix == ".py" else cpp_tokens)(text):
        if (new := flipped(token)) is not None:
            yield Mutant(path, text.count("\n", 0, start) + 1, start, start + len(token), token, new)


def succeeds(
    command: Iterable[object], *, seconds: int = 60, memory: int = resource.RLIM_INFINITY, **environment: str
) -> bool:
    """Whether a command ends well, in a folder of its own, in so many seconds of the processor and bytes."""

    def limit() -> None:  # a change may send it round in circles, or after memory
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    folder = WORK / "run"
    folder.mkdir(exist_ok=True)
    try:
        done = subprocess.run(
            [*map(str, command)],
            cwd=folder,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=limit,
            timeout=30 * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


class Core:
    """The core's C++ tests and fuzz targets, where a change costs the objects that it is in."""

    def __init__(self, kind: str) -> None:
        sys.path.insert(0, str(CORE_TESTS))
        import run

        shutil.rmtree(WORK / "src", ignore_errors=True)  # else it is taken for the source
        self.builder = run.Builder(kind)
        self.memory = (
            resource.RLIM_INFINITY if kind == "sanitizers" else 8 << 30
        )  # which address far more than they use
        self.compiler = [run.CXX, f"-I{WORK / 'src'}", *run.COMMON, *self.builder.flags]  # the copy's headers first
        self.mains = [CORE_TESTS / f"test_{name}.cpp" for name in ("core", "edges")]
        self.mains += [CORE_TESTS / "fuzz" / f"{target}.cpp" for target in run.TARGETS]
        self.core = run.CORE
        sources = [*self.core, *self.mains, CORE_TESTS / "driver.cpp"]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            self.objects = dict(zip(sources, pool.map(self.builder.compile, sources), strict=True))
            self.headers = dict(zip(sources, pool.map(self.headers_of, sources), strict=True))
        self.fuzzing = ["-fsanitize=fuzzer"] if run.IS_CLANG else [self.objects[CORE_TESTS / "driver.cpp"]]
        self.corpora = {target: run.corpus_of(target) for target in run.TARGETS}

    def headers_of(self, source: Path) -> set[Path]:
        """All files that a source includes, and itself."""
        found = subprocess.run([*self.compiler, "-MM", source], capture_output=True, text=True, check=True).stdout
        return {Path(word).resolve() for word in found.replace("\\\n", " ").split()[1:]}

    def notices(self, mutant: Mutant) -> str | None:
        """What notices a change: a test's name, or the compiler; None where nothing does."""
        shutil.rmtree(WORK / "src", ignore_errors=True)
        shutil.copytree(ROOT / "src", WORK / "src")
        (WORK / mutant.path).write_text(mutant.text(), encoding="utf-8")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            core = list(pool.map(lambda source: self.object_of(source, mutant), self.core))
        if None in core:
            return "the compiler"
        # Who uses the header of that name is the first to notice.
        header = f"rle/{mutant.path.stem}.hpp"
        mains = sorted(self.mains, key=lambda main: header not in main.read_text(encoding="utf-8"))
        return next((main.stem for main in mains if not self.passes(main, mutant, core)), None)

    def object_of(self, source: Path, mutant: Mutant) -> Path | None:
        """The object of a source with the change; None where it does not compile."""
        if (ROOT / mutant.path) not in self.headers[source]:
            return self.objects[source]
        copy = WORK / source.relative_to(ROOT) if source in self.core else source
        target = WORK / f"{source.parent.name}-{source.stem}.o"
        command = [*self.compiler, *(self.builder.core_flags if source in self.core else ()), "-w", "-c", copy]
        return target if succeeds([*command, "-o", target]) else None

    def passes(self, main: Path, mutant: Mutant, core: list[Path | None]) -> bool:
        """Whether a test program, or a fuzz target on its inputs and changed copies of them, ends well."""
        arguments: list[object] = []
        parts: list[object] = [self.object_of(main, mutant), *core]
        if main.stem in self.corpora:
            new = WORK / "new"  # for inputs that reach new code
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            parts += self.fuzzing
            arguments = ["-runs=1000", new, self.corpora[main.stem]]
        if None in parts or not succeeds([*self.compiler, *parts, "-o", WORK / "program"]):
            return False
        return succeeds([WORK / "program", *arguments], memory=self.memory)


class Module:
    """The tests of a Python module, on a copy of the packages."""

    def __init__(self, path: Path) -> None:
        self.tests = [*MODULES[str(path)], str(path)]  # and its doctests
        for folder in ("cloudrle", "cloudseg_sdk", "tests"):
            shutil.copytree(ROOT / folder, WORK / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("core"))
        shutil.copy(ROOT / "pyproject.toml", WORK)
        if not self.passes():
            sys.exit(f"{', '.join(self.tests)} do not pass as they are")

    def passes(self) -> bool:
        tests = [WORK / test for test in self.tests]
        options = ["-q", "-x", "-p", "no:cacheprovider", "--doctest-modules", "--rootdir", WORK]
        path = f"{WORK}:{os.environ.get('PYTHONPATH', '')}"
        command = [sys.executable, "-m", "pytest", *options, *tests]
        return succeeds(command, seconds=600, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")

    def notices(self, mutant: Mutant) -> str | None:
        try:
            compile(mutant.text(), mutant.path, "exec")
        except SyntaxError:
            return "the compiler"
        target = WORK / mutant.path
        target.write_text(mutant.text(), encoding="utf-8")
        passed = self.passes()
        shutil.copy(ROOT / mutant.path, target)
        return None if passed else "its tests"


def reason(mutant: Mutant) -> str | None:
    """Why a change changes nothing, if that is known."""
    return next((why for name, part, why in EQUIVALENT if mutant.path.name == name and part in str(mutant)), None)


def report(mutants: list[Mutant], notices: Callable[[Mutant], str | None]) -> None:
    """Try each change, and say what became of it."""
    caught = survived = 0
    for mutant in mutants:
        by = notices(mutant)
        why = reason(mutant) if by is None else None
        caught += by not in (None, "the compiler")
        survived += by is None and why is None
        told = f"caught by {by}" if by else f"equivalent ({why})" if why else "SURVIVED"
        sys.stdout.write(f"{told}: {mutant}\n")
        sys.stdout.flush()
    share = caught / max(1, caught + survived)
    sys.stdout.write(f"{len(mutants)} changes: {caught} caught, {survived} survived, {share:.0%} caught\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help=f"files of src/rle (default: all), or {', '.join(MODULES)}")
    parser.add_argument("--sample", type=int, default=100, help="how many changes of each kind of file (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    arguments = parser.parse_args()
    core = [path.relative_to(ROOT) for path in sorted((ROOT / "src/rle").glob("*.[chi]*")) if path.suffix != ".h"]
    paths: list[Path] = arguments.paths or core
    if unknown := [str(path) for path in paths if path not in core and str(path) not in MODULES]:
        parser.error(f"no tests are known for {', '.join(unknown)}")
    modules = [path for path in paths if path.suffix == ".py"]
    WORK.mkdir(parents=True, exist_ok=True)
    chosen = random.Random(arguments.seed)
    if files := [path for path in paths if path not in modules]:
        quick, thorough = Core("mutants"), Core("sanitizers")
        mutants = [mutant for path in files for mutant in mutants_of(path)]
        report(
            chosen.sample(mutants, min(arguments.sample, len(mutants))),
            lambda mutant: quick.notices(mutant) or thorough.notices(mutant),
        )
    for path in modules:
        mutants = list(mutants_of(path))
        report(chosen.sample(mutants, min(arguments.sample, len(mutants))), Module(path).notices)


if __name__ == "__main__":
    main()
