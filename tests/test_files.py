"""Files appear whole or not at all, whatever happens while they are written."""

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults import limited

from cloudrle import _files
from cloudrle._files import atomic_path, locked


@pytest.fixture
def restore_umask() -> Iterator[None]:
    mask = os.umask(0o022)
    yield
    os.umask(mask)


def test_success_replaces_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_who_has_the_old_file_open_goes_on_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old " * 1000)
    with path.open("rb", buffering=0) as reader:
        assert reader.read(4) == b"old "
        with atomic_path(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == b"old " * 999


def fail_half_way(path: Path, error: type[BaseException]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", ["old", None])
def test_failure_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, error: type[BaseException], old: str | None
) -> None:
    path = tmp_path / "out.csv"
    if old is not None:
        path.write_text(old)
    with pytest.raises(error):
        fail_half_way(path, error)
    assert [file.read_text() for file in tmp_path.iterdir()] == ([] if old is None else [old])


def test_a_target_that_is_a_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "folder.csv"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"folder\.csv"), atomic_path(folder) as temporary:
        temporary.write_text("new")
    assert list(tmp_path.iterdir()) == [folder]
    assert list(folder.iterdir()) == [folder / "inside"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    link.symlink_to(real)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    with atomic_path(loop) as temporary:
        temporary.write_text("new")
    assert loop.read_text() == "new", "what leads nowhere is replaced"


def test_what_is_no_regular_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    wanted = f"only a regular file can be replaced, which this is not: '{pipe}'"
    with pytest.raises(OSError, match=wanted), atomic_path(pipe) as temporary:
        temporary.write_text("new")
    assert pipe.is_fifo()


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    code = """
import os, pathlib, signal, sys
from cloudrle._files import atomic_path
with atomic_path(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2, "and half of the new one, hidden"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert list(tmp_path.iterdir()) == [path], "which the next writer removes"


def test_only_leftovers_of_the_same_file_whose_writer_is_gone_are_removed(tmp_path: Path) -> None:
    gone, of_another, of_no_writer = (
        tmp_path / name for name in (".out-0123abcd.csv", ".in-0123abcd.csv", ".out-x.csv")
    )
    for path in (gone, of_another, of_no_writer):
        path.touch()
    with atomic_path(tmp_path / "out.csv") as living:
        with atomic_path(tmp_path / "out.csv"):
            pass
        assert set(tmp_path.iterdir()) == {living, of_another, of_no_writer, tmp_path / "out.csv"}


def test_without_locks_nobody_can_tell_whether_a_writer_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_files, "fcntl", None)
    left = tmp_path / ".out-0123abcd.csv"
    left.touch()
    with atomic_path(tmp_path / "out.csv") as temporary:
        temporary.write_text("new")
    assert set(tmp_path.iterdir()) == {left, tmp_path / "out.csv"}


@pytest.mark.usefixtures("restore_umask")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask_from_the_first_moment(tmp_path: Path, mask: int) -> None:
    os.umask(mask)
    with atomic_path(tmp_path / "out.csv") as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o666 & ~mask


def test_the_temporary_file_is_hidden_beside_its_target_with_the_same_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "new" / "folders" / "out.tar.png") as temporary:
        assert temporary.parent == tmp_path / "new" / "folders"
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".png"


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "é" * 125 + ".png", "no suffix", ".hidden"])
def test_any_name_that_the_file_system_takes(tmp_path: Path, name: str) -> None:
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_writers_at_the_same_time_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    def write(letter: str) -> None:
        with atomic_path(path) as temporary, temporary.open("w") as file:
            for _ in range(50):
                file.write(letter * 100)
                file.flush()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, "abcdefgh"))
    assert path.read_text() in {letter * 5000 for letter in "abcdefgh"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"):
        with pytest.raises(BlockingIOError), locked(tmp_path / "lock"):
            pass
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path / "lock"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_a_folder_that_was_replaced_leaves_the_new_one_alone(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with locked(folder / "lock"):
        folder.rename(tmp_path / "away")
        folder.mkdir()
        with locked(folder / "lock"):
            pass
        (folder / "lock").touch()
    assert (folder / "lock").exists()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = """
import pathlib, sys
from cloudrle._files import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError), locked(tmp_path / "lock"):
            pass
        holder.kill()
    with locked(tmp_path / "lock"):
        pass


def test_where_the_system_has_no_locks_nobody_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "fcntl", None)
    with locked(tmp_path / "lock"), locked(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    left = tmp_path / ".out-0123abcd.csv"
    left.touch()
    with atomic_path(tmp_path / "out.csv") as temporary:
        temporary.write_text("new")
    assert set(tmp_path.iterdir()) == {left, tmp_path / "out.csv"}


def test_a_file_too_large_for_its_system_is_named_itself(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with (
        limited(resource.RLIMIT_FSIZE, 1000),
        pytest.raises(OSError, match="File too large") as caught,
        atomic_path(path) as temporary,
    ):
        temporary.write_text("x" * 2000)
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
