"""Locks: one process at a time, also while another one releases the lock, and on a file system without locks."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from pathlib import Path

import pytest

from tomoprior.errors import FormatError, InputError
from tomoprior.storage.locking import exclusive_lock


def refused(owner: str) -> InputError:
    return InputError(f"{owner} has it")


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", none)


def test_the_holder_is_named_and_the_file_is_removed(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"
    me = f"process {os.getpid()} on {socket.gethostname()}"
    with exclusive_lock(lock, refused, host=True):
        with pytest.raises(InputError, match=f"^{me} has it$"), exclusive_lock(lock, refused, host=True):
            pass
        assert lock.read_text() == f"{os.getpid()} on {socket.gethostname()}\n"
    assert list(lock.parent.iterdir()) == []


def test_a_lock_file_without_a_name_is_respected(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"^another process has it$"), exclusive_lock(lock, refused):
            pass
    with exclusive_lock(lock, refused):
        pass


def test_a_lock_file_of_another_process_is_left_in_place(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with exclusive_lock(lock, refused):
        lock.unlink()
        with exclusive_lock(lock, refused):
            here = lock.stat()
    with exclusive_lock(lock, refused):
        lock.rename(tmp_path / "aside")  # so that the new file has another number
        lock.write_text("another's")
    assert lock.read_text() == "another's"
    assert here.st_size > 0


def test_the_folder_can_be_removed_with_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that waits for a lock creates the folder again if it is removed meanwhile."""
    folder = tmp_path / "folder"
    lock, flock = folder / "lock", fcntl.flock
    removed = []

    def leaving(file: object, how: int) -> None:
        if not removed:  # whoever had it leaves between the opening and the locking
            shutil.rmtree(folder)
            removed.append(folder)
        flock(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr("fcntl.flock", leaving)
    with exclusive_lock(lock, refused):
        assert lock.read_text() == f"{os.getpid()}\n"
    assert removed


def test_a_lock_that_cannot_be_written_raises_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for lock in (tmp_path / "none" / "folder" / "lock", tmp_path / "file" / "lock"):
        with pytest.raises(FormatError, match=r"lock: cannot be written \("), exclusive_lock(lock, refused):
            pass


@pytest.mark.parametrize("kind", ["link to a file", "link to nothing", "hard link", "pipe", "folder"])
def test_a_link_or_special_file_in_place_of_the_lock_is_refused_and_stays_untouched(tmp_path: Path, kind: str) -> None:
    lock, other = tmp_path / "lock", tmp_path / "precious"
    other.write_text("12345 on another machine")
    if kind == "link to a file":
        lock.symlink_to(other)
    elif kind == "link to nothing":
        lock.symlink_to(tmp_path / "new")
    elif kind == "hard link":
        lock.hardlink_to(other)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(FormatError, match=r"/lock: not a plain lock file") as caught, exclusive_lock(lock, refused):
        pass
    assert "\n" not in str(caught.value)
    assert os.path.lexists(lock)
    assert other.read_text() == "12345 on another machine"
    assert not (tmp_path / "new").exists()


def test_a_lock_file_of_other_bytes_is_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_bytes(b"\xff\xfe\x00")
    with exclusive_lock(lock, refused):
        assert lock.read_text() == f"{os.getpid()}\n"


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize(
    ("owner", "free"),
    [
        (f"{os.getppid()}", False),
        (f"{os.getppid()} on {socket.gethostname()}", False),
        ("999999999", True),
        (f"999999999 on {socket.gethostname()}", True),
        ("999999999 on another machine", False),
        ("", True),
    ],
)
def test_without_locks_the_named_process_holds_the_lock_as_long_as_it_runs(tmp_path: Path, owner: str, free: bool) -> None:
    lock = tmp_path / "lock"
    lock.write_text(owner)
    if free:
        with exclusive_lock(lock, refused, host=True):
            assert lock.read_text().startswith(f"{os.getpid()} on ")
        return
    with pytest.raises(InputError, match=f"^process {owner} has it$"), exclusive_lock(lock, refused, host=True):
        pass
    assert lock.read_text() == owner
