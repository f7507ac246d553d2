"""Calls timed in turn, so that a busy moment of the machine falls on all of them."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from timeit import Timer
from typing import Any

import numpy as np
import numpy.typing as npt
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.peers import OWN_RULE

Calls = Mapping[str, Callable[[], Any]]

OURS = "cloudrle"


@dataclass(frozen=True)
class Pace:
    """How long to time."""

    sample: float  # seconds of calls between two looks at the clock
    row: float  # seconds for a row, unless the fewest rounds take longer
    fewest: int
    most: int

    def rounds(self, lap: float) -> int:
        """Choose the rounds for a row, of which one takes `lap` seconds."""
        return min(max(round(self.row / lap), self.fewest), self.most)


FULL = Pace(sample=2e-3, row=2.0, fewest=5, most=101)
QUICK = Pace(sample=5e-5, row=0.0, fewest=3, most=3)


@dataclass(frozen=True)
class Row:
    """Median seconds of one call of each, on one case of one operation."""

    operation: str
    case: str
    contenders: dict[str, float]
    baselines: dict[str, float]


def memory(array: npt.NDArray[Any]) -> Calls:
    """Copy, fill and read as many bytes."""
    source = array.reshape(-1).view(np.uint8)
    target = np.empty_like(source)
    return {
        "memcpy": lambda: np.copyto(target, source),
        "memset": lambda: target.fill(1),
        "read": lambda: source.max(),
    }


class Race:
    """Times and compares the contenders of one benchmark, and files the row.

    pytest-benchmark times one function after another. What it is given to repeat here is a round of all of them, A B C;
    each has its own clock inside, and the medians go to the row and to pytest-benchmark's ``extra_info``.
    """

    def __init__(self, benchmark: BenchmarkFixture, pace: Pace, rows: list[Row]) -> None:
        self._benchmark, self._pace, self._rows = benchmark, pace, rows

    def __call__(
        self,
        operation: str,
        case: str,
        contenders: Calls,
        *,
        agree: Callable[[Any], bool],
        baselines: Calls,
    ) -> None:
        """Assert that the answers agree with what is expected, then time."""
        for name, call in contenders.items():
            assert name.endswith(OWN_RULE) or agree(call()), f"{operation} of {case}: wrong answer from {name}"
        medians = self._medians({**contenders, **baselines})
        self._benchmark.extra_info.update(operation=operation, case=case, medians=medians)
        times = ({name: medians[name] for name in calls} for calls in (contenders, baselines))
        self._rows.append(Row(operation, case, *times))

    def _medians(self, calls: Calls) -> dict[str, float]:
        timers = {name: Timer(call) for name, call in calls.items()}
        loops = {name: self._loops(timer) for name, timer in timers.items()}
        samples: dict[str, list[float]] = {name: [] for name in calls}

        def lap() -> float:
            for name, timer in timers.items():
                samples[name].append(timer.timeit(loops[name]) / loops[name])
            return sum(samples[name][-1] * loops[name] for name in calls)

        rounds = self._pace.rounds(lap())
        self._benchmark.pedantic(lap, rounds=rounds)
        return {name: statistics.median(times[1:]) for name, times in samples.items()}

    def _loops(self, timer: Timer) -> int:
        """Count the calls that fill a sample."""
        loops = 1
        while (seconds := timer.timeit(loops)) < self._pace.sample:
            loops = max(2 * loops, min(10 * loops, int(1.2 * loops * self._pace.sample / seconds)))
        return loops
