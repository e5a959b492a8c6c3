"""What stands in gene descriptions and is not about the gene: credits, citations, notes on the record."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import NamedTuple

__all__ = ["clean", "tidy"]


class _Rule(NamedTuple):
    """What to replace; texts without any of `marks` are not searched, which is most of the speed."""

    marks: tuple[str, ...]
    pattern: re.Pattern[str]
    by: str = ""


def _rule(marks: str, pattern: str, by: str = "") -> _Rule:
    return _Rule(tuple(marks.split("|")), re.compile(pattern), by)


# PMID:12084570 / PubMed IDs: 16344562 and 17623810 / PMIDs:16186805, 1825810 / Ref.5, PubMed:123456
_ID = r"(?:(?:PMIDs?|PubMed(?:\s?IDs?)?)\s*:?\s*\d{4,9}|Ref\.\s?\d+)"
_IDS = rf"{_ID}(?:(?:\s*[,;]\s*(?:and\s+)?|\s+and\s+)(?:{_ID}|\d{{5,9}}))*"
_BY = r"(?:see(?: also)?|(?:summary|summari[sz]ed|review|reviewed)(?: by| in)?)"

# Smith et al., 2008 / Choo, 1997 / van der Meer and O'Neil, 2003a [PubMed 12837797] / Li et al., PMID: 123456
_PARTICLE = r"(?:[Vv]an|[Vv]on|[Dd]e|[Dd]er|den|[Dd]el|[Dd]i|[Dd]a|[Ll]a|[Ll]e|ten)[ '-]"
_NAME = rf"(?:{_PARTICLE}){{0,3}}[A-ZÀ-ÞČŁŚŠŻŽ][\w'.’-]+"
_AUTHORS = rf"{_NAME}(?:(?:,? and|,|,? &) {_NAME})*"
_ET_AL = r",? et\.? al\.?"
_YEARS = r", (?:19|20)\d\d[a-z]?(?:, (?:19|20)\d\d[a-z]?)*"
_CITED = rf"{_AUTHORS}(?:(?:{_ET_AL})?{_YEARS}(?:\s*\[?{_IDS}\]?)?|{_ET_AL},? \[?{_IDS}\]?)"
_MIM = r"O?MIM[: ]\s?\#?\d{6}"

_CREDIT = r"(?:(?:provided|supplied|contributed|adapted|modified) (?:by|from)\b|Source:)"
_NOTE = r"(?:Sequence Note|Publication Note|CCDS Note|COMPLETENESS)\s?:"

_RULES = (
    _rule("Evidence", r"##(Evidence-Data|RefSeq-Attributes)-START##.*?(?:##\1-END##|$)"),
    _rule("Note:|COMPLETENESS", rf"{_NOTE}.*?(?={_NOTE}|##|\[{_CREDIT}|$)"),
    _rule("provided|supplied|contributed|adapted|modified|Source:", rf"\[\s*{_CREDIT}[^\]]*\]?"),
    _rule("provided by", r"\bprovided by RefSeq, [A-Z][a-z]{2} \d{4}\]"),  # its bracket went missing
    _rule("{ECO", r"\s*\{ECO:[^}]*\}?"),
    _rule("FUNCTION:", r"(?:^|;?\s+)FUNCTION:\s*", " "),
    _rule("et al|et. al|19|20", rf"\s*\((?:{_BY} )?{_CITED}(?:\s*;\s*{_CITED})*(?:\)|(?=\.?$))"),
    _rule("PMID|PubMed|Ref.", rf"\s*[(\[](?:{_BY}:? )?{_IDS}\s*[)\]]"),
    _rule("PMID|PubMed|Ref.", rf"\s*[,;]\s*{_IDS}(?=\s*[)\]])"),
    _rule("MIM", rf"\s*\((?:see )?{_MIM}\)"),
    _rule("MIM", rf"\s*[,;] (?:see )?{_MIM}(?=\s*[,;)])"),
    _rule("RefSeq", r"The RefSeq represents the predicted microRNA stem-loop\."),
)

_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_ATTRIBUTES = r"""(?:\s+[\w-]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*/?"""
_BREAKING = re.compile(rf"</?(?:p|br|div|li|ul|ol|tr|td|h[1-6]){_ATTRIBUTES}>", re.IGNORECASE)
_INLINE = re.compile(rf"</?(?:i|b|u|em|strong|sub|sup|span|a|font|small|code){_ATTRIBUTES}>", re.IGNORECASE)
_INVISIBLE = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))

# In text with single spaces, so these few marks tell whether there is anything to do.
_TIDY = (
    _rule("()|( )|[]|[ ]", r"\s*(?:\(\s*\)|\[\s*\])"),
    _rule(" .| ,| ;| :", r"\s+([.,;:])(?=[\s.,;]|$)", r"\1"),
    _rule("..|. .", r"(?<!\.)\.\s?\.(?!\s?\.)", "."),
)
_LOOSE_ENDS = " &;,([{"


def clean(text: str) -> str:
    """Remove what is not about the gene: credits, citations, notes on the database record, markup.

    Parameters
    ----------
    text
        A summary, a name or terms, as the databases give them.

    Returns
    -------
    str
        The same text in Unicode's composed form (NFC) with single spaces, without "[provided by RefSeq,
        Jul 2008]" and its like, PubMed, OMIM and author-year citations in brackets, UniProt's evidence
        codes, RefSeq's notes on sequences and publications, HTML tags and entities. Citations that are
        part of a sentence ("was named in PMID 1234567 as") stay.
    """
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
    if "<" in text:
        text = _INLINE.sub("", _BREAKING.sub(" ", text))
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_INVISIBLE))
    text = " ".join(text.split())
    return tidy(_applied(_RULES, text)).rstrip(_LOOSE_ENDS)


def tidy(text: str) -> str:
    """Single spaces, no empty brackets, no space before a full stop and no two of them."""
    return _applied(_TIDY, " ".join(text.split()))


def _applied(rules: tuple[_Rule, ...], text: str) -> str:
    for marks, pattern, by in rules:
        for mark in marks:
            if mark in text:
                text = pattern.sub(by, text)
                break
    return text
