"""What is measured, as rows of the tables in ``bench/scenarios``.

A table is text in columns, so that it reads and diffs as one: ``#`` starts a comment, ``-`` means that a
column does not apply. Rows of one `group` are timed in turn, and the others are held against the first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

__all__ = ["SCENARIOS", "Scenario", "groups", "load", "suites"]

SCENARIOS = Path(__file__).parent / "scenarios"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row.

    Attributes
    ----------
    suite, group
        Its table, and the rows that it is timed with.
    what
        ``lexicell``, a peer or a part, as the suite knows it.
    data
        ``synthetic`` (`bench.cells`), ``pbmc3k`` or ``baron``; of texts, a lexicon.
    cells
        How many; ``all`` of a real data set.
    k, p
        Genes of a cell (``all`` for no selection) and dimensions.
    counts
        ``f32`` with int32 columns, or ``u16`` with uint16 ones.
    table
        ``f16`` or ``f32``.
    storage
        ``memory``, ``h5ad`` (gzip), ``h5ad-plain``, ``zarr`` or ``packed``.
    device
        ``cpu`` or ``cuda``.
    threads
        A number, or ``all`` CPUs that the process may use.
    cache
        ``warm`` or ``cold``: whether the pages of the files are in memory.
    """

    suite: str
    group: str
    what: str
    data: str
    cells: str
    k: str
    p: str
    counts: str
    table: str
    storage: str
    device: str
    threads: str
    cache: str

    @property
    def id(self) -> str:
        """The row in one line; a record keeps it, so trends follow it."""
        return " ".join(astuple(self))


_COLUMNS = tuple(field.name for field in fields(Scenario))[1:]


def suites() -> list[str]:
    """Names of the tables, in alphabetical order."""
    return sorted(path.stem for path in SCENARIOS.glob("*.txt"))


def load(suite: str) -> list[Scenario]:
    """Read a table.

    Raises
    ------
    ValueError
        There is no such table, a line has too few or too many columns, or a row is there twice.
    """
    path = SCENARIOS / f"{suite}.txt"
    if not path.is_file():
        msg = f"there is no suite {suite!r}; there are {', '.join(suites())}"
        raise ValueError(msg)
    rows: list[Scenario] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if not rows and tuple(words) == _COLUMNS:
            continue
        if len(words) != len(_COLUMNS):
            msg = f"{path.name}, line {number}: {len(words)} columns, not the {len(_COLUMNS)} of {_COLUMNS}"
            raise ValueError(msg)
        row = Scenario(suite, *words)
        if row in rows:
            msg = f"{path.name}, line {number}: this row is there twice"
            raise ValueError(msg)
        rows.append(row)
    return rows


def groups(rows: list[Scenario]) -> Iterator[tuple[str, list[Scenario]]]:
    """Cut a table where the group changes.

    Raises
    ------
    ValueError
        The rows of a group do not follow one another.
    """
    seen: set[str] = set()
    for name, group in itertools.groupby(rows, lambda row: row.group):
        if name in seen:
            msg = f"{rows[0].suite}.txt: the rows of group {name!r} do not follow one another"
            raise ValueError(msg)
        seen.add(name)
        yield name, list(group)
