"""One SQLite file: which version it is of, how it is opened, and the names of what may be wrong with it.

``minute`` holds the rows of the last days as they came, one a minute and series. A day that is over becomes one block a
series in ``day``: of every row (``step_s`` 60), and of the first in each five minutes (300). A series is a symbol and
the day it was listed: a ticker that is used again begins a new one. ``statistic`` has what the exchange told of the
hours that nobody here saw, and ``asked`` when it was last asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from shared.errors import Refused, Transient, WireError

VERSION = 2
APPLICATION = 0x6F69_6869  # "oihi", in the file's head: that it is ours
MINUTE_MS = 60_000
DAY_MS = 86_400_000
EACH_MINUTE_S, EACH_FIVE_S = 60, 300
PATIENCE_S = 2.0
CACHE_KIB = 256  # of pages, a connection; SQLite's own 2 MB would buy nothing: the kernel keeps the file's pages too
_PASSES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def venues_path(path: str) -> str:
    """The file of other venues, of the same kind, beside ``HISTORY_PATH``."""
    return str(Path(path).with_name("venues.db"))


class Series(NamedTuple):
    symbol: str
    onboard_ms: int


@contextmanager
def file_faults(path: str) -> Iterator[None]:
    """What SQLite cannot do becomes `Transient` where it may pass, else `Refused`, as a block does that cannot be read.

    Both name the file and why.
    """
    try:
        yield
    except sqlite3.Error as e:
        code = getattr(e, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise Transient(f"HISTORY_PATH={path}: the disk is full") from e
        if code in _PASSES:
            raise Transient(f"HISTORY_PATH={path}: {e}") from e
        if code in _DAMAGED:
            raise Refused(f"HISTORY_PATH={path}: the file is damaged, and left as it is ({e})") from e
        raise Refused(f"HISTORY_PATH={path}: {e}") from e
    except WireError as e:
        raise Refused(f"HISTORY_PATH={path}: the file is damaged, and left as it is ({e})") from e


def version_of(db: sqlite3.Connection, path: str) -> int:
    """0: an empty file. Raises `Refused` for another program's file, and for one of a newer version."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    application = int(db.execute("PRAGMA application_id").fetchone()[0])
    empty = not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not empty and application != APPLICATION:
        raise Refused(f"HISTORY_PATH={path}: a database of another program")
    if version > VERSION:
        said = f"a file of version {version}, and this release knows {VERSION}: it was written by a newer one"
        raise Refused(f"HISTORY_PATH={path}: {said}")
    return 0 if empty else version


def all_series(db: sqlite3.Connection) -> dict[int, Series]:
    """By their numbers in the file."""
    found = db.execute("SELECT id, symbol, onboard_ms FROM series")
    return {number: Series(symbol, onboard_ms) for number, symbol, onboard_ms in found}


def is_there(path: str) -> bool:
    """Raises `Refused` where this user may not look."""
    try:
        return Path(path).exists()
    except OSError as e:
        raise Refused(f"HISTORY_PATH={path}: {e.strerror}") from e


def open_to_read(path: str) -> sqlite3.Connection:
    """Raises `Refused` where there is no file to read, `Transient` while another holds it."""
    if not is_there(path):
        raise Refused(f"HISTORY_PATH={path}: no such file; oi_keeper makes it")
    with file_faults(path):
        db = sqlite3.connect(
            f"file:{quote(path)}?mode=ro", uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        try:
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            version = version_of(db, path)
            if version != VERSION:
                raise Refused(f"HISTORY_PATH={path}: of version {version}; oi_keeper brings it to {VERSION}")
        except BaseException:
            db.close()
            raise
        return db


def integrity(path: str) -> list[str]:
    """What SQLite finds wrong in the whole file; empty when it is sound. Reads all of it."""
    db = open_to_read(path)
    try:
        found = [str(line) for (line,) in db.execute("PRAGMA integrity_check(10)")]
    except sqlite3.DatabaseError as e:
        if getattr(e, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            raise Transient(f"HISTORY_PATH={path}: {e}") from e
        found = [str(e)]  # so hurt that the check itself cannot go on
    finally:
        db.close()
    return [] if found == ["ok"] else found
