"""`--quick`, the cases, the race, and the table at the end."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import report
from benchmarks.cases import CLOUDS, NO_CLOUDS, cases
from benchmarks.racing import FULL, QUICK, Race, Row
from benchmarks.reasons import lags

ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--quick`."""
    parser.addoption("--quick", action="store_true", help="small masks and few rounds: does the suite work at all?")


def pytest_configure(config: pytest.Config) -> None:
    """Keep pytest-benchmark's own table quiet: its lines are whole rounds of all contenders."""
    config.option.benchmark_quiet = True
    config.stash[ROWS] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run on every case what asks for one."""
    if "case" in metafunc.fixturenames:
        params = [pytest.param(case, id=case.name) for case in cases(metafunc.config.getoption("--quick"))]
        if not CLOUDS.exists():
            params.append(pytest.param(None, id="real", marks=pytest.mark.skip(reason=NO_CLOUDS)))
        metafunc.parametrize("case", params)


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    """Whether this is a quick run."""
    return bool(request.config.getoption("--quick"))


@pytest.fixture
def race(request: pytest.FixtureRequest, benchmark: BenchmarkFixture, quick: bool) -> Race:
    """Where the contenders of one row meet."""
    return Race(benchmark, QUICK if quick else FULL, request.config.stash[ROWS])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a peer is ahead and nobody has said why; a quick run times too little to tell."""
    unexplained = any(lag.reason is None for lag in lags(session.config.stash[ROWS]))
    if unexplained and not session.config.getoption("--quick") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, and keep it when everything ran in full and passed."""
    rows = config.stash[ROWS]
    if not rows:
        return
    terminalreporter.section("cloudrle beside memory and its peers")
    parts = ["\n".join(report.facts()), report.tables(rows)]
    if not config.getoption("--quick"):
        parts.append(report.where_peers_are_ahead(lags(rows)))
    for line in "\n\n".join(parts).splitlines():
        terminalreporter.write_line(line)
    if config.getoption("--quick"):
        with TemporaryDirectory() as folder:  # written all the same, to see that it can be
            report.write(rows, Path(folder))
    elif config.args == ["benchmarks"] and not terminalreporter.stats.keys() & {"deselected", "failed", "error"}:
        report.write(rows, Path(__file__).parent)
    else:
        terminalreporter.write_line("Not the whole suite, or not all passed: RESULTS.md stays as it is.")
