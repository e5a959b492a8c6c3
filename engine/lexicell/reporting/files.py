"""What other verbs wrote about a run, read and checked before a page is made of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexicell._files import parse_json, reading_file
from lexicell._say import printable
from lexicell.embedding import Listener, Note
from lexicell.errors import InputError, LexicellError

__all__ = ["Beside", "EvaluationFile", "EvaluationLine", "ProfileFile", "files_beside"]

#: What leaves out a file that lies beside a store.
_NONE = "none"


@dataclass(frozen=True)
class Beside:
    """Where they are; None for nothing. `found` are those that nobody has named."""

    annotation: Path | None
    evaluation: Path | None
    profile: Path | None
    found: frozenset[Path]

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Tell of a file that nobody has named how it is left out."""
        try:
            yield
        except LexicellError as error:
            if path not in self.found:
                raise
            name = next(
                name for name in ("annotation", "evaluation", "profile") if getattr(self, name) == path
            )
            msg = f"{error} (it lies beside the store; --{name} none leaves it out)"
            raise InputError(msg) from error


def files_beside(
    store: Any,
    annotation: str | Path | None,
    evaluation: str | Path | None,
    profile: str | Path | None,
    listener: Listener,
) -> Beside:
    """What the user names, else what lies beside ``NAME.zarr`` as ``NAME.evaluation`` ..., which is told."""
    found = set()

    def one(named: str | Path | None, *suffixes: str) -> Path | None:
        if named is not None:
            return None if str(named) == _NONE else Path(named)
        if not isinstance(store, str | Path) or "://" in str(store):
            return None
        for suffix in suffixes:
            path = Path(store).with_suffix(suffix)
            if path.exists():
                listener(Note(f"{path} lies beside the store, and is part of the page"))
                found.add(path)
                return path
        return None

    paths = (
        one(annotation, ".annotation.csv", ".annotation.parquet"),
        one(evaluation, ".evaluation"),
        one(profile, ".profile.json"),
    )
    return Beside(*paths, frozenset(found))


@dataclass(frozen=True)
class EvaluationLine:
    """A method in one setting; `where` is the data set, the scenario and the setting."""

    where: str
    method: str
    classifier: str
    is_control: bool
    macro_f1: float
    interval: str
    accuracy: float

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> EvaluationLine:
        """Read it as `lexicell.evaluation` writes it."""
        scores = line["scores"]
        low, high = (scores["macro_f1"].get(end) for end in ("low", "high"))
        return cls(
            _text(line, "data", "scenario", "setting"),
            _text(line, "method", "control"),
            _text(line, "classifier"),
            bool(line["is_control"]),
            _share(scores["macro_f1"]["mean"]),
            "" if low is None or high is None else f"{float(low):.3f} to {float(high):.3f}",
            _share(scores["accuracy"]["mean"]),
        )


@dataclass(frozen=True)
class EvaluationFile:
    """What `lexicell evaluate` wrote: cells of its data sets, its lexicon ("" for none), lines."""

    data: Mapping[str, int]
    lexicon: str
    lines: tuple[EvaluationLine, ...]

    @classmethod
    def read(cls, folder: Path) -> EvaluationFile:
        """Read it.

        Raises
        ------
        InputError
            It is no folder of an evaluation of cells.
        """
        path = folder / "evaluation.json"
        with reading_file(path, "name the folder that `lexicell evaluate --output` wrote", InputError):
            content = parse_json(path.read_bytes())
            data = {printable(str(name)): int(of["cells"]) for name, of in content["data"].items()}
            lexicon = content["settings"].get("lexicon", {}).get("identity", "")
            return cls(data, str(lexicon), tuple(EvaluationLine.of(line) for line in content["lines"]))


@dataclass(frozen=True)
class ProfileFile:
    """What ``--profile`` wrote, but for the trace: seconds by the clock and by stage, number of workers."""

    seconds: float
    stages: Mapping[str, float]
    workers: int

    @classmethod
    def read(cls, path: Path) -> ProfileFile:
        """Read it.

        Raises
        ------
        InputError
            It is no such file.
        """
        with reading_file(path, "name the .json that `lexicell embed --profile` wrote", InputError):
            with path.open(encoding="utf-8") as file:
                head = file.readline()  # the trace, which may be long, begins on the next line
                try:
                    content = parse_json(head + "]}")
                except ValueError:
                    content = parse_json(head + file.read())
            facts = content["otherData"]
            stages = {printable(str(name)): _seconds(spent) for name, spent in facts["stages"].items()}
            return cls(_seconds(facts["seconds"]), stages, max(1, len(facts["workers"]) - 1))


def _text(line: Mapping[str, Any], *names: str) -> str:
    parts = [line[name] for name in names]
    if not all(isinstance(part, str) for part in parts):
        msg = f"{names} are no text"
        raise TypeError(msg)
    return printable(", ".join(part for part in parts if part))


def _share(value: Any) -> float:
    share = float(value)
    if not 0 <= share <= 1:
        msg = f"a score is {share}"
        raise ValueError(msg)
    return share


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not (math.isfinite(seconds) and seconds >= 0):
        msg = f"{seconds} seconds"
        raise ValueError(msg)
    return seconds
