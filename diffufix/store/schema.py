"""The tables of `.diffufix/log.sqlite`, as a list of migrations. Touches the database only.

models ─< runs ─< suspects
              ├─< holes ─< fills ─< candidates >─ verdicts
              └─< groups ─< completions
          tasks ─┘    └── payloads          blobs: texts of tasks and prompts
Ids are unique over the whole database: those of a run's rows are `run << 32 | counter`, so that
they are known before the rows are written. Groups are numbered by the time they were made, tasks
and blobs by their content, which is so kept once. Lists and mappings are stored as JSON text,
source texts as UTF-8. Times are seconds: since the epoch (`*_at`) or durations.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from diffufix.errors import StoreError

Migration = Callable[[sqlite3.Connection], None]
MIGRATIONS: list[Migration] = []


def migration(step: Migration) -> Migration:
    """Register the next step; a step that was ever released is never changed."""
    MIGRATIONS.append(step)
    return step


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to the newest schema, in one transaction. `connection` autocommits.

    Raises StoreError for a database that a newer diffufix wrote, sqlite3.Error when it is
    damaged or locked.
    """
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # again: another process may have migrated meanwhile
        if version > len(MIGRATIONS):
            raise StoreError(
                f"The log in .diffufix/ was written by a newer diffufix (schema {version}, "
                f"this one knows {len(MIGRATIONS)}).",
                "Update diffufix, or start a new log with `diffufix clean`.",
            )
        for step in MIGRATIONS[version:]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@migration
def first(connection: sqlite3.Connection) -> None:
    for statement in _FIRST.split(";"):
        connection.execute(statement)


_FIRST = """
CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,
    name TEXT NOT NULL,
    adapter TEXT NOT NULL,
    parameters INTEGER,
    UNIQUE (hash, name, adapter)
);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    version TEXT NOT NULL,          -- of diffufix
    command TEXT NOT NULL,          -- repair, generate, ...
    settings TEXT NOT NULL,
    model_id INTEGER REFERENCES models (id),
    pid INTEGER NOT NULL,
    started_at REAL NOT NULL,
    finished_at REAL,
    status TEXT,                    -- NULL until finished
    summary TEXT                    -- what the result said, as JSON
);
CREATE TABLE suspects (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    rank INTEGER NOT NULL,
    path TEXT NOT NULL,
    qualname TEXT NOT NULL,
    first_line INTEGER NOT NULL,
    last_line INTEGER NOT NULL,
    score REAL NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (run_id, rank)
);
CREATE TABLE holes (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    qualname TEXT NOT NULL,
    start INTEGER NOT NULL,         -- characters of the decoded file
    end INTEGER NOT NULL,
    kind TEXT NOT NULL,
    suspicion REAL NOT NULL,
    original TEXT NOT NULL,         -- the text that was masked
    context TEXT                    -- what the model saw around the hole, as JSON
);
CREATE INDEX holes_of_run ON holes (run_id);
CREATE TABLE fills (
    id INTEGER PRIMARY KEY,
    hole_id INTEGER NOT NULL REFERENCES holes (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    token_ids TEXT,                 -- [int]
    token_logps TEXT,               -- [float], under the policy that sampled them
    commit_order TEXT,              -- [int], the step in which each token was committed
    masks TEXT,                     -- JSON: the masks under which the likelihoods were computed
    logp REAL,                      -- of the whole fill
    score REAL                      -- by which it was ranked
);
CREATE INDEX fills_of_hole ON fills (hole_id);
CREATE TABLE candidates (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    fill_id INTEGER REFERENCES fills (id) ON DELETE SET NULL,
    key TEXT NOT NULL,              -- hash of the edited files
    diff TEXT
);
CREATE INDEX candidates_of_run ON candidates (run_id);
CREATE INDEX candidates_of_fill ON candidates (fill_id);
CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY,
    candidate_id INTEGER NOT NULL REFERENCES candidates (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,            -- screen, provisional (`Verdict`), confirm
    state TEXT NOT NULL,
    outcomes TEXT NOT NULL,         -- {test id: outcome}
    seconds REAL NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX verdicts_of_candidate ON verdicts (candidate_id)
"""


@migration
def groups(connection: sqlite3.Connection) -> None:
    for statement in _GROUPS.split(";"):
        connection.execute(statement)


_GROUPS = """
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY,
    base_id INTEGER,                -- another blob, whose first `head` and last `tail`
    head INTEGER NOT NULL,          -- bytes stand before and after this one's body
    tail INTEGER NOT NULL,
    body BLOB NOT NULL              -- zlib
);
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    path TEXT NOT NULL,
    qualname TEXT NOT NULL,
    source_id INTEGER NOT NULL REFERENCES blobs (id),
    start INTEGER NOT NULL,         -- characters of the source
    end INTEGER NOT NULL,
    kind TEXT NOT NULL,
    origin TEXT NOT NULL,           -- repair, generate, mutant, history, ...
    shown INTEGER NOT NULL,
    answer TEXT,
    tests_id INTEGER NOT NULL REFERENCES blobs (id) -- JSON: {tests, failing}
);
CREATE INDEX tasks_by_key ON tasks (key);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY,
    run_id INTEGER REFERENCES runs (id) ON DELETE SET NULL,
    task_id INTEGER NOT NULL REFERENCES tasks (id),
    prompt_id INTEGER NOT NULL REFERENCES blobs (id),
    model TEXT NOT NULL,            -- fingerprint of the weights that sampled
    estimator TEXT NOT NULL,
    sampling TEXT NOT NULL,         -- JSON
    made_at REAL NOT NULL,
    size INTEGER NOT NULL,          -- completions
    passes INTEGER NOT NULL,
    lost INTEGER NOT NULL,          -- completions without a reward
    mean REAL,                      -- of the rewards, NULL where one is missing
    spread REAL                     -- highest reward less the lowest, NULL where one is missing
);
CREATE INDEX groups_of_run ON groups (run_id);
CREATE INDEX groups_of_task ON groups (task_id);
CREATE TABLE completions (
    group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    text TEXT NOT NULL,
    state TEXT NOT NULL,
    reward REAL,
    seconds REAL NOT NULL,
    steps INTEGER NOT NULL,
    PRIMARY KEY (group_id, number)
) WITHOUT ROWID;
CREATE TABLE payloads (
    group_id INTEGER PRIMARY KEY REFERENCES groups (id) ON DELETE CASCADE,
    body BLOB NOT NULL              -- packing.py: ids, noise, likelihoods, parts of the rewards
)
"""


@migration
def pages(connection: sqlite3.Connection) -> None:
    """What the page of a run shows beside: when, where in the source, what the tests said."""
    for statement in _PAGES.split(";"):
        connection.execute(statement)


_PAGES = """
ALTER TABLE verdicts ADD COLUMN at REAL;            -- since the epoch
ALTER TABLE fills ADD COLUMN pieces TEXT;           -- JSON: the text of each token, of what passed
ALTER TABLE suspects ADD COLUMN lines TEXT;         -- JSON: {line: suspiciousness}
ALTER TABLE suspects ADD COLUMN source TEXT;        -- of the function, from its first line
ALTER TABLE suspects ADD COLUMN start INTEGER;      -- of that text: characters of the decoded file
CREATE TABLE failures (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    rank INTEGER NOT NULL,
    test TEXT NOT NULL,
    message TEXT NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (run_id, rank)
)
"""
