"""Sentences about cell types: those that come with the package, and those that people write."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from lexicell._files import parse_json, read_utf8, reading_file
from lexicell.errors import InputError
from lexicell.projection import UNKNOWN

__all__ = [
    "RESTORE",
    "Description",
    "gather_descriptions",
    "read_descriptions",
    "shipped_groups",
    "shipped_type",
    "shipped_types",
]

#: What to do about a damaged file of the package; ends a sentence.
RESTORE = "install lexicell again"
_TYPES = Path(__file__).with_name("data") / "cell_types.tsv"
_MOST = 2_000  # characters of a sentence


@dataclass(frozen=True, slots=True)
class Description:
    """A name, and a sentence about what bears it.

    Attributes
    ----------
    name
        What cells are called.
    sentence
        What they do and are made of, in words that texts of genes use too.
    id
        Of the Cell Ontology ("CL:0000236"), or "".
    """

    name: str
    sentence: str
    id: str = ""


def read_descriptions(
    given: Mapping[str, str] | Sequence[Description] | str | Path,
) -> tuple[Description, ...]:
    """Read descriptions that people wrote.

    Parameters
    ----------
    given
        Sentences by name; descriptions; or a file, gzipped or not, whose lines hold a name, a tab and a
        sentence. Blank lines and lines that start with # are skipped; the name or Cell Ontology id of a
        shipped type, alone on a line, stands for that type. A ``.json`` file holds an object of strings.

    Returns
    -------
    tuple of Description
        One or more, in the order given; spaces at the ends and double ones are gone.

    Raises
    ------
    InputError
        There is none; a line is neither; a name occurs twice, is missing or is "unknown"; a sentence is
        empty, has no letter, half a character or more than 2,000 of them, or is that of another name too.
    InputNotFoundError
        The file does not exist.
    CorruptDataError
        The file is not complete gzip.
    """
    if isinstance(given, str | Path):
        return _checked(_from_file(Path(given)), str(given))
    where = "the descriptions"
    return _checked(_from_mapping(given, where) if isinstance(given, Mapping) else given, where)


def shipped_types(names: str | Sequence[str] | None = None) -> tuple[Description, ...]:
    """Choose from the types that come with the package.

    Parameters
    ----------
    names
        Groups (see `shipped_groups`), names or ids of the Cell Ontology, mixed, in any case; in a list or
        with commas between them; None for all types.

    Returns
    -------
    tuple of Description
        Each type once, in the order of the file.

    Raises
    ------
    InputError
        An entry is none of these, or there is none.
    """
    shipped, groups = _shipped(), shipped_groups()
    if names is None:
        return tuple(shipped)
    known = {*groups, *_by_name()}
    entries = _split(names, known) if isinstance(names, str) else names
    wanted = {_key(entry): entry for entry in entries if entry.strip()}
    if unknown := [entry for key, entry in wanted.items() if key not in known]:
        what = f"there is no shipped type or group {unknown[0]!r}{_hint(unknown[0])}"
        msg = f"{what}; groups are {', '.join(groups)}"
        raise InputError(msg)
    chosen = (kind for kind, its in shipped.items() if wanted.keys() & {_key(kind.name), _key(kind.id), *its})
    return _checked(chosen, "the shipped types that were asked for")


def gather_descriptions(
    describe: Mapping[str, str] | Sequence[Description] | str | Path | None,
    types: str | Sequence[str] | None,
) -> tuple[Description, ...] | None:
    """Put written types and shipped ones together; None where neither are asked for."""
    if describe is None and types is None:
        return None
    own = () if describe is None else read_descriptions(describe)
    shipped = () if types is None else shipped_types(types)
    return read_descriptions((*own, *shipped))


def shipped_groups() -> dict[str, int]:
    """Return the groups of the shipped types, and how many types each has; most are tissues."""
    return dict(Counter(group for groups in _shipped().values() for group in groups))


def shipped_type(name: str) -> Description | None:
    """Return the shipped type of a name or Cell Ontology id, in any case; None where there is none."""
    return _by_name().get(_key(name))


@cache
def _shipped() -> dict[Description, tuple[str, ...]]:
    """Types and their groups, in the order of the file."""
    with reading_file(_TYPES, RESTORE):
        rows = [line.split("\t") for line in read_utf8(_TYPES).decode().splitlines()[1:]]
        return {
            Description(name, sentence, term): tuple(groups.split(","))
            for groups, term, name, sentence in rows
        }


@cache
def _by_name() -> dict[str, Description]:
    """Shipped types by their names and by their ids."""
    return {_key(called): kind for kind in _shipped() for called in (kind.name, kind.id)}


def _split(names: str, known: Container[str]) -> Iterator[str]:
    """Entries between commas; a name may have one itself ("CD4-positive, alpha-beta T cell")."""
    parts = names.split(",")
    while parts:
        size = 2 if _key(",".join(parts[:2])) in known else 1
        yield ",".join(parts[:size])
        del parts[:size]


def _from_file(path: Path) -> Iterator[Description]:
    text = read_utf8(path).decode()
    if path.name.removesuffix(".gz").endswith(".json"):
        remedy = "give an object with a sentence for each name"
        with reading_file(path, remedy, InputError):
            content = parse_json(text)
        if not isinstance(content, dict):
            msg = f"{path} holds no object; {remedy}"
            raise InputError(msg)
        yield from _from_mapping(content, str(path))
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, tab, sentence = line.partition("\t")
        if tab:
            yield Description(name, sentence)
        elif (kind := shipped_type(line)) is not None:
            yield kind
        else:
            msg = (
                f"{path}, line {number}: {line[:60]!r} has no tab and is no shipped type{_hint(line[:60])}; "
                "write a name, a tab and a sentence"
            )
            raise InputError(msg)


def _from_mapping(given: Mapping[Any, Any], where: str) -> Iterator[Description]:
    for name, sentence in given.items():
        if not (isinstance(name, str) and isinstance(sentence, str)):
            msg = f"{where}: name and sentence of {name!r} are not both text; give a string for each"
            raise InputError(msg)
        yield Description(name, sentence)


def _checked(found: Iterable[Any], where: str) -> tuple[Description, ...]:
    """Fold spaces, and refuse what cannot be told apart or says nothing."""
    by_name: dict[str, Description] = {}
    by_sentence: dict[str, str] = {}
    for given in found:
        if not isinstance(given, Description):
            msg = f"{where}: {given!r} is a {type(given).__name__}; give a Description, or name and sentence"
            raise InputError(msg)
        name, sentence = " ".join(given.name.split()), " ".join(given.sentence.split())
        other = by_sentence.setdefault(sentence.casefold(), name)
        wrong = ""
        if not name and not sentence:
            wrong = "a sentence is empty; say what the cell does"
        elif not name:
            wrong = f"the sentence {sentence[:60]!r} has no name; give it one"
        elif _key(name) == UNKNOWN:
            wrong = f"{name!r} is what cells without a type are called; choose another name"
        elif name in by_name:
            wrong = f"{name!r} occurs twice; describe each type once"
        elif not sentence:
            wrong = f"{name!r} has no sentence; say what it does"
        elif not any(letter.isalpha() for letter in sentence):
            wrong = f"the sentence of {name!r} has no letter; say in words what it does"
        elif len(sentence) > _MOST:
            wrong = f"the sentence of {name!r} has {len(sentence):,} characters; write at most {_MOST:,}"
        elif any("\ud800" <= letter <= "\udfff" for letter in name + sentence):
            wrong = f"{name!r} or its sentence has half a character (a lone surrogate); write it anew"
        elif other != name:
            wrong = f"{other!r} and {name!r} have the same sentence; say what tells them apart"
        if wrong:
            msg = f"{where}: {wrong}"
            raise InputError(msg)
        by_name[name] = replace(given, name=name, sentence=sentence)
    if not by_name:
        msg = f"{where}: there is no description; give one name and sentence or more"
        raise InputError(msg)
    return tuple(by_name.values())


def _hint(entry: str) -> str:
    spelled = {_key(name): name for name in (*shipped_groups(), *(kind.name for kind in _shipped()))}
    close = [spelled[key] for key in difflib.get_close_matches(_key(entry), spelled)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def _key(entry: str) -> str:
    return " ".join(entry.casefold().split())
