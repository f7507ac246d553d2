"""The rule of the benchmarks: no row in which a peer is ahead goes without a reason."""

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed")
pytest.importorskip("cpuinfo", reason="py-cpuinfo is not installed")

from benchmarks import conftest, reasons, report
from benchmarks.racing import Row
from benchmarks.reasons import REASONS, lags


def row(operation: str, case: str, **contenders: float) -> Row:
    return Row(operation, case, {"cloudrle": 1.0, **contenders}, {"memcpy": 0.1})


def test_a_peer_lags_ahead_of_cloudrle_alone_and_beyond_noise() -> None:
    rows = [row("new", "case", slow=1.5, near=0.98, quick=0.5, **{"cloudrle, 2 threads": 0.5})]
    (lag,) = lags(rows)
    assert (lag.peer, lag.ratio, lag.reason) == ("quick", 0.5, None)
    assert "| new | case | quick | 0.50 | **None is known.** |" in report.where_peers_are_ahead([lag])
    assert "Nowhere" in report.where_peers_are_ahead([])


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_found_for_its_operation_peer_and_cases_alone(reason: reasons.Reason) -> None:
    case = reason.cases.replace("*", "x")
    (known,) = lags([row(reason.operation, case, **{reason.peer: 0.5})])
    assert known.reason is not None
    assert known.reason in report.where_peers_are_ahead([known])
    for other in (
        row("other", case, **{reason.peer: 0.5}),
        row(reason.operation, "other", **{reason.peer: 0.5}),
        row(reason.operation, case, other=0.5),
    ):
        (unknown,) = lags([other])
        assert unknown.reason is None


@pytest.mark.parametrize(("quick", "peer", "exit_code"), [(False, 0.5, 1), (False, 1.5, 0), (True, 0.5, 0)])
def test_a_run_fails_where_a_peer_is_ahead_without_a_reason(quick: bool, peer: float, exit_code: int) -> None:
    rows = [row("new", "case", peer=peer)]
    config = SimpleNamespace(stash={conftest.ROWS: rows}, getoption=lambda name: quick)
    session: Any = SimpleNamespace(config=config, exitstatus=pytest.ExitCode.OK)
    conftest.pytest_sessionfinish(session)
    assert session.exitstatus == exit_code
