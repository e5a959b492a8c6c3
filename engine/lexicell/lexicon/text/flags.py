"""What gene texts lack: which of them say nothing, and which say the same as many others."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lexicell.lexicon.genes import TextFlag

__all__ = ["SHARED_BY", "Described", "flag_texts"]

#: How many other genes have the same text, names and numbers aside, before it says nothing about one of
#: them: microRNAs, olfactory receptors and replication-dependent histones have thousands to dozens.
SHARED_BY = 10

_WORD = re.compile(r"[^\W_]+")
_NO_DIGITS = str.maketrans("", "", "0123456789")
_LETTER = re.compile(r"[^\W\d_]")

# Names that databases give where nothing is known, and symbols that are only the place of a gene.
_PLACEHOLDER = re.compile(
    r"""(?: predicted\ (?:gene|pseudogene|readthrough\ transcript|protein)\b .*
          | gene\ model\ \d+ .*
          | (?:putative\ )?uncharacteri[sz]ed\b .*
          | hypothetical\b .*
          | novel\ (?:transcript|protein|gene|pseudogene)\b .*
          | RIKEN\ cDNA\b .*
          | (?:cDNA|expressed)\ sequence\ \w+
          | DNA\ segment,\ .*
          | chromosome\ \w+\ open\ reading\ frame\b .*
          | (?:processed\ |unprocessed\ |transcribed\ )*pseudogene(?:\ \d+)?
          | KIAA\d+ | FLJ\d+ | LOC\d+ | Gm\d+ | C[\dXY]+orf\d+ | \w+Rik
          | (?:RP|CT[ABCD])\d*-\d+\w\d*\.\d+ | [A-Z]{2}\d{6}\.\d+
        )\s*""",
    re.VERBOSE | re.IGNORECASE,
)


class Described(Protocol):
    """A gene, its names and its text."""

    @property
    def symbol(self) -> str | None:
        """Gene symbol."""
        ...

    @property
    def name(self) -> str | None:
        """Full name."""
        ...

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other symbols."""
        ...

    @property
    def text(self) -> str:
        """What is encoded."""
        ...


def flag_texts(genes: Sequence[Described]) -> list[TextFlag | None]:
    """Say what each text lacks, if anything.

    Parameters
    ----------
    genes
        All genes of a lexicon, since one text can be shared by others only among them.

    Returns
    -------
    list
        For each gene: "placeholder" where the text holds nothing but the gene's names and those stand
        for nothing known ("RIKEN cDNA 1700001C19 gene"); "name-only" where it holds nothing but names
        that do mean something; "shared" where what is left of it without the gene's names and without
        numbers is, word for word, left of `SHARED_BY` other genes' texts too; None for the others.
    """
    informative = [_informative(gene) for gene in genes]
    common = Counter(informative)
    flags: list[TextFlag | None] = []
    for gene, words in zip(genes, informative, strict=True):
        description = gene.name or gene.symbol or gene.text
        if not words:
            flags.append("placeholder" if _PLACEHOLDER.fullmatch(description) else "name-only")
        elif _PLACEHOLDER.fullmatch(gene.text):
            flags.append("placeholder")
        else:
            flags.append("shared" if common[words] > SHARED_BY else None)
    return flags


def _informative(gene: Described) -> str:
    """Words of a text without the gene's own names and without digits; empty where no letter is left."""
    # Words are kept apart by two spaces, so that a name that occurs twice running is found twice.
    words = _spaced(gene.text)
    names = {_spaced(name) for name in (gene.name, gene.symbol, *gene.aliases) if name}
    for name in sorted(names, key=len, reverse=True):
        words = words.replace(name, "  ")
    words = " ".join(words.translate(_NO_DIGITS).split())
    return words if _LETTER.search(words) else ""


def _spaced(text: str) -> str:
    return f" {'  '.join(_WORD.findall(text.casefold()))} "
