"""Which columns of a matrix are gene expression, decided alike for every format.

What is known decides, and nothing else: words for kinds of features in a column of var that is called so, and
names that no gene can have. A word that is not known here, as a biotype of Ensembl, leaves nothing out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from lexicell._say import listed
from lexicell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["RNA", "choose_columns", "choose_modality", "kind_of", "types_of_shared_names", "usual_modality"]

RNA = "rna"
#: Words for kinds of features, as `_plain` writes them.
_WORDS = {
    RNA: "gene expression|gex|rna|mrna|gene|genes|expression|transcriptome|transcripts|scrna|snrna|rna seq|"
    "scrna seq|snrna seq|spatial gene expression",
    "protein": "antibody capture|antibody|antibodies|ab|abseq|adt|adts|protein|proteins|prot|"
    "protein expression|surface protein|surface proteins|cite|cite seq|antigen capture|antigen",
    "hashtag": "multiplexing capture|multiplexing|hto|htos|hashtag|hashtags|hashing|cell hashing|"
    "cmo|sample tag",
    "guide": "crispr guide capture|crispr|guide|guides|guide capture|grna|sgrna|guide rna",
    "peak": "peak|peaks|atac|scatac|snatac|atac seq|scatac seq|snatac seq|chromatin accessibility|"
    "chromatin|accessibility",
    "custom": "custom|custom capture",
    "receptor": "vdj|vdj t|vdj b|vdj t gd|tcr|bcr|airr",
    "control": "negative control probe|negative control codeword|negative control|unassigned codeword|"
    "deprecated codeword|blank codeword|genomic control|system control|control probe|blank",
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split("|")}
#: Columns of var that hold the type of a feature.
_COLUMNS = ("feature types", "feature type", "modality")
#: A column of this name holds it only where each of its values is a known word.
_DOUBTFUL = "type"
_PEAK = (
    r"chr\w+(?:\.\d+)?[:_-]\d+[-_]\d+"
    # Without "chr" the end has four digits or more: 14-3-3 is a gene.
    r"|(?:\d{1,2}|[xym]|mt|(?:gl|ki|k[nqzb]|jh|aahr|aabr|aemk|n[ctw]_)\d+(?:\.\d+)?)[:_-]\d+[-_]\d{4,}"
)
#: What antibodies, hashtags and guides are marked with. No symbol, alias or id of a gene looks like one.
_TAG = (
    r"(?:adt|hto|prot|sgrna|grna)[-_:.].+|(?:ab|protein|antibody|guide)[_:].+|hto ?\d+|cmo\d{3}"
    r"|hash[-_ ]?tags?(?:[-_ :.]?\w*)?|sample[-_ ]?tag[-_ ]?\d+.*|total[-_ ]?seq.*"
    r"|anti[-_ ](?:human|mouse|rat)(?![a-z]).*|non[-_ ]?targeting(?![a-z]).*"
)
_TAG_ENDS = r"[-_. ]total[-_ ]?seq(?:[-_ ]?[a-d])?|[-_.:|](?:adt|hto|[pst]abo)"
#: Of names in lower case between line ends, one name or many: a search that begins with a letter is slow.
_BEGINS = re.compile(rf"\n(?:(?P<peak>{_PEAK})|{_TAG})(?=\n)")
_ENDS = re.compile(rf"[^\n](?:{_TAG_ENDS})\n")
_BY_NAME = {"peak": "peaks by their names", "tag": "antibodies, hashtags or guides by their names"}


class _Types(NamedTuple):
    """A column of var with types: of each feature the place of its type in `words`, -1 where it has none."""

    codes: NDArray[np.intp]
    words: list[str]

    def has(self, wanted: Iterable[str]) -> NDArray[np.bool_]:
        """Which features have one of these words."""
        among = set(wanted)
        return np.isin(self.codes, [at for at, word in enumerate(self.words) if word in among])


def kind_of(word: object) -> str | None:
    """Kind of feature that a word means: "rna", "protein", "peak", ...; None for a word that is not known."""
    return _KINDS.get(_plain(word))


def choose_columns(
    var: pd.DataFrame, label: str, asked: str | None = None
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Choose the columns of a matrix that are read.

    Parameters
    ----------
    var
        ``[v]`` columns as in AnnData.
    label
        The data set, for messages.
    asked
        Type of feature that the user asks for, in any case: a word of var, or another for the same kind. None
        for gene expression: then a feature is left out whose type is a known other one, or that has no known
        type and a name that only a peak, an antibody, a hashtag or a guide has.

    Returns
    -------
    ``[kept]`` int64 ascending, or None for all; and what a person should know about it.

    Raises
    ------
    InputError
        Nothing is left, or there is no such type.
    """
    columns = list(_types_in(var))
    why: NDArray[np.object_] = np.full(len(var), "", object)
    fitting = [(types, words) for types in columns if (words := _fitting(types.words, asked))]
    if asked is None or (kind_of(asked) == RNA and not any(_same(types.words, asked) for types in columns)):
        _leave_out_other_types(columns, why)
        _leave_out_names(var, columns, why)
    elif fitting:
        types, words = fitting[0]
        excluded = ~types.has(words)
        why[excluded] = np.array([*types.words, "without a type"], object)[types.codes[excluded]]
    else:
        have = listed(dict.fromkeys(word for types in columns for word in types.words)) or "no types at all"
        msg = f"{label}: no feature is of the modality {asked!r}, var has {have}; choose one of these"
        raise InputError(msg)
    counts = Counter(reason for reason in why if reason)
    if not counts:
        return None, ()
    summary = listed(f"{reason} ({n:,})" for reason, n in counts.items())
    if counts.total() == len(var):
        msg = f"{label}: no column is gene expression, all are {summary}; give a matrix with gene counts"
        raise InputError(msg)
    keep = np.flatnonzero(_undecided(why))
    return keep, (f"{counts.total():,} of {len(var):,} columns are left out: {summary}",)


def choose_modality(names: Iterable[str], label: str, asked: str | None) -> str:
    """Choose a modality of a MuData; InputError where it isn't said which, or there is none of this name."""
    have = list(names)
    if fitting := _fitting(have, asked):
        return fitting[0]
    absent = "" if asked is None else f" without {asked!r}"
    msg = (
        f"{label}: this is a MuData of {listed(have) or 'nothing'}{absent}; choose one with "
        f"--modality {usual_modality(have)}"
    )
    raise InputError(msg)


def usual_modality(names: list[str]) -> str:
    """The modality that a message proposes: gene expression if it is there."""
    return next((name for name in names if kind_of(name) == RNA), names[0] if names else "NAME")


def types_of_shared_names(raw: pd.DataFrame, read_var: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Give the var of ``.raw``, where it states no types, those of the data set's var by name."""
    if any(True for _ in _types_in(raw)):
        return raw
    var = read_var()
    if not any(_others(types) for types in _types_in(var)):
        return raw
    first = var[~var.index.duplicated()]
    added = [name for name in first.columns if _plain(name) in (*_COLUMNS, _DOUBTFUL) and name not in raw]
    return raw.assign(**{str(name): first[name].reindex(raw.index) for name in added})


def _plain(word: object) -> str:
    return " ".join(re.split(r"[\s_./&-]+", str(word).strip().lower()))


def _same(words: Iterable[str], modality: str) -> list[str]:
    have = list(words)
    return [word for word in have if word == modality] or [
        word for word in have if _plain(word) == _plain(modality)
    ]


def _fitting(words: Iterable[str], modality: str | None) -> list[str]:
    """Words that are the requested modality, whatever their case; else those of the same kind."""
    if modality is None:
        return []
    have, kind = list(words), kind_of(modality)
    return _same(have, modality) or [word for word in have if kind is not None and kind_of(word) == kind]


def _types_in(var: pd.DataFrame) -> Iterator[_Types]:
    """Columns of var in which a known type stands."""
    for at, name in enumerate(map(_plain, var.columns)):
        if name in _COLUMNS or name == _DOUBTFUL:
            codes, values = pd.factorize(var.iloc[:, at])
            words = [str(value) for value in values]
            is_known = [kind_of(word) is not None for word in words]
            if any(is_known) and (name != _DOUBTFUL or all(is_known)):
                yield _Types(np.asarray(codes), words)


def _others(types: _Types) -> list[str]:
    return [word for word in types.words if kind_of(word) not in (None, RNA)]


def _undecided(why: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.array([not reason for reason in why], bool)


def _leave_out_other_types(columns: Iterable[_Types], why: NDArray[np.object_]) -> None:
    for types in columns:
        for word in _others(types):
            why[types.has([word]) & _undecided(why)] = word


def _leave_out_names(var: pd.DataFrame, columns: Iterable[_Types], why: NDArray[np.object_]) -> None:
    """Leave out what its name tells, but for features of which var states that they are gene expression."""
    names = list(map(str.strip, map(str, var.index)))
    text = "\n".join(("", *names, "")).lower()
    if _BEGINS.search(text) is None and _ENDS.search(text) is None:
        return
    stated = np.zeros(len(var), bool)
    for types in columns:
        stated |= types.has(word for word in types.words if kind_of(word) == RNA)
    for at in np.flatnonzero(_undecided(why) & ~stated):
        name = f"\n{names[at].lower()}\n"
        if (begins := _BEGINS.search(name)) or _ENDS.search(name):
            why[at] = _BY_NAME["peak" if begins and begins["peak"] else "tag"]
