"""Makes the file, and brings one of an older version to this one: each step is one transaction, done or not begun."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from shared.history.file import APPLICATION, CACHE_KIB, PATIENCE_S, VERSION, file_faults, version_of

# The step that leads to version n stands at n - 1; what was released is never changed again.
STEPS = (
    """
    CREATE TABLE series (
        id INTEGER PRIMARY KEY, symbol TEXT NOT NULL, onboard_ms INTEGER NOT NULL, UNIQUE (symbol, onboard_ms)
    );
    CREATE TABLE minute (
        minute INTEGER NOT NULL, series INTEGER NOT NULL, received_ms INTEGER NOT NULL, contracts TEXT NOT NULL,
        mark TEXT, PRIMARY KEY (minute, series)
    ) WITHOUT ROWID;
    CREATE TABLE day (
        step_s INTEGER NOT NULL, day INTEGER NOT NULL, series INTEGER NOT NULL, rows BLOB NOT NULL,
        PRIMARY KEY (step_s, day, series)
    );
    """,
    """
    CREATE TABLE statistic (
        series INTEGER NOT NULL, at_ms INTEGER NOT NULL, contracts TEXT NOT NULL, mark TEXT, PRIMARY KEY (series, at_ms)
    ) WITHOUT ROWID;
    CREATE TABLE asked (series INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL);
    """,
)


def open_to_write(path: str) -> sqlite3.Connection:
    """Raises `Refused` for a file that is damaged, newer, another program's or not to be written; `Transient` else."""
    with file_faults(path):
        db = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
        try:
            version = version_of(db, path)  # before anything is changed in it
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # what was acknowledged outlives a power cut
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            for step in range(version, VERSION):
                _upgrade(db, step)
        except BaseException:
            db.close()
            raise
        return db


def _upgrade(db: sqlite3.Connection, version: int) -> None:
    try:
        db.executescript(f"BEGIN IMMEDIATE; {STEPS[version]}")
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {version + 1}")
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
