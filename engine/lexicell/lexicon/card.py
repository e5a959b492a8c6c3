"""``README.md`` of a lexicon: what a person should know before using it.

Made from manifest and genes alone - no date, version or machine - so the same lexicon has the same card.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from lexicell.lexicon.manifest import EncoderInfo, Manifest

__all__ = [
    "CARD_FILE",
    "UNKNOWN_POOLING",
    "GeneCounts",
    "count_genes",
    "gene_label",
    "make_card",
]

CARD_FILE = "README.md"

#: What a manifest says of an encoder that ran elsewhere, where no more is known.
UNKNOWN_POOLING = "unknown"

_UNTOLD = "not stated"
_EXAMPLES = 5
_GROUPS_SHOWN = 12
_FLAGS = {
    "name-only": "have a text that says no more than their names",
    "shared": "share their text, word for word, with many others",
    "placeholder": 'have a text that stands where nothing is known ("predicted gene")',
}
# Texts taken over from orthologues name the gene they are from: one group, not thousands.
_ORTHOLOGUE = re.compile(r"(orthologue) \S+ \(NCBI \d+\)")
_MARKUP = re.compile(r"([\\`*|<>\[\]~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;))")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_PLAIN_NAME = re.compile(r"[\w.][\w.+-]*")


@dataclass(frozen=True)
class GeneCounts:
    """What the genes of a lexicon have and lack.

    Attributes
    ----------
    genes, text, ncbi_id, symbol, ensembl_ids, aliases, mouse_symbols
        How many genes there are, and how many of them have each of these.
    gene_types, text_sources, flags
        Genes per value, most frequent first; genes without a value are not counted.
    examples
        The first genes of each flag.
    median_words, most_words
        Length of the texts; None where there are none.
    """

    genes: int
    text: int
    ncbi_id: int
    symbol: int
    ensembl_ids: int
    aliases: int
    mouse_symbols: int
    gene_types: Mapping[str, int]
    text_sources: Mapping[str, int]
    flags: Mapping[str, int]
    examples: Mapping[str, Sequence[str]]
    median_words: float | None
    most_words: int | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def count_genes(genes: pa.Table) -> GeneCounts:
    """Count what the `genes` of a lexicon (all columns of its gene table) have and lack."""
    values = {name: genes.column(name).to_pylist() for name in genes.column_names if name != "row"}
    words = [len(text.split()) for text in values["text"] if text]
    flagged: dict[str, list[str]] = {}
    for row, flag in enumerate(values["text_flag"]):
        if flag:
            flagged.setdefault(flag, []).append(
                gene_label({name: column[row] for name, column in values.items()})
            )
    present = {
        name: sum(value not in (None, "", []) for value in values[name])
        for name in ("text", "ncbi_id", "symbol", "ensembl_ids", "aliases", "mouse_symbols")
    }
    return GeneCounts(
        genes=genes.num_rows,
        **present,
        gene_types=_most_frequent(values["gene_type"]),
        text_sources=_most_frequent(_ORTHOLOGUE.sub(r"\1", s) if s else s for s in values["text_source"]),
        flags={flag: len(flagged[flag]) for flag in sorted(flagged)},
        examples={flag: flagged[flag][:_EXAMPLES] for flag in sorted(flagged)},
        median_words=statistics.median(words) if words else None,
        most_words=max(words, default=None),
    )


def gene_label(gene: Mapping[str, Any]) -> str:
    """What a person calls a gene: its symbol, or else the first id there is."""
    if gene["symbol"]:
        return str(gene["symbol"])
    ensembl: Sequence[str] = gene["ensembl_ids"] or ()
    return ensembl[0] if ensembl else f"NCBI {gene['ncbi_id']}"


def make_card(about: Manifest, genes: pa.Table) -> str:
    """Write the card of a lexicon.

    Parameters
    ----------
    about
        Its manifest; ``files`` are not read, as the card is one of them.
    genes
        All columns of its gene table.

    Returns
    -------
    str
        Markdown. Whatever comes from outside - names, sources, genes - is escaped.
    """
    counts = count_genes(genes)
    name, encoder, text = _escaped(about.name), about.encoder, about.text
    content = "a text and its vector" if counts.text else "a vector"
    by_name = _PLAIN_NAME.fullmatch(about.name)
    used = about.name if by_name else "path/to/this/folder"
    parts = [
        f"# {name}\n\n{counts.genes:,} {_escaped(about.organism)} genes with {content} each: a lexicon for "
        f"lexicell, which embeds single cells through what is known about their genes. The vectors "
        f"({about.dim:,} numbers) were made by {_escaped(encoder.id)}.",
        "## How to use it",
        f"```\nlexicell embed cells.h5ad cells.zarr --lexicon {used}\n```",
        f'```python\nlexicell.tl.embed(adata, lexicon="{used}")\n```',
        "A lexicon that does not come with lexicell is named by the path of its folder.",
        "## What it is made of",
        _table(
            ("Texts", _told(text.source)),
            [
                ("date", _told(text.date)),
                ("licence", _told(text.licence)),
                ("recipe", _told(text.recipe)),
                ("genes of", _escaped(about.organism)),
            ],
        ),
        _table(("Vectors", f"{counts.genes:,} x {about.dim:,}, {about.dtype}"), _encoder_rows(encoder)),
        "## What it covers",
        _table(("Genes", "number", "share"), _coverage_rows(about, counts)),
        *_groups("Gene type", counts.gene_types, counts.genes),
        *_groups("Text from", counts.text_sources, counts.genes),
    ]
    if counts.median_words is not None:
        parts.append(
            f"A text has {counts.median_words:,.0f} words (median); the longest has {counts.most_words:,}."
        )
    parts += ["## Known gaps", *_bullets(_gaps(about, counts))]
    parts += ["## Credit", _credit(about)]
    return "\n\n".join(parts) + "\n"


def _encoder_rows(encoder: EncoderInfo) -> list[tuple[str, str]]:
    elsewhere = encoder.pooling == UNKNOWN_POOLING
    tokens = "" if encoder.max_tokens is None else f"{encoder.max_tokens:,} tokens"
    rows = [
        ("encoder", _escaped(encoder.id)),
        ("revision", _told(encoder.revision)),
        ("pooling", _told("" if elsewhere else encoder.pooling)),
        ("reads at once", _told(tokens)),
    ]
    if not elsewhere:
        cut = "cut into windows, whose vectors are averaged" if encoder.long_text == "window" else "truncated"
        rows += [("longer texts", cut), ("arithmetic", encoder.precision)]
    rows.append(("unit length", "yes" if encoder.normalised else "no"))
    if encoder.dimensions is not None:
        rows.append(("shortened to", f"{encoder.dimensions:,} dimensions"))
    return rows


def _coverage_rows(about: Manifest, counts: GeneCounts) -> list[tuple[str, ...]]:
    rows = [
        ("all", counts.genes),
        ("with a text", counts.text),
        ("with an NCBI Gene id", counts.ncbi_id),
        ("with a symbol", counts.symbol),
        ("with Ensembl ids", counts.ensembl_ids),
        ("with aliases", counts.aliases),
    ]
    if about.organism != "mouse":
        rows.append(("with mouse orthologues", counts.mouse_symbols))
    return [(label, f"{n:,}", _share(n, counts.genes)) for label, n in rows]


def _groups(title: str, groups: Mapping[str, int], total: int) -> list[str]:
    if not groups:
        return []
    rows = [(_escaped(value), n) for value, n in list(groups.items())[:_GROUPS_SHOWN]]
    if others := list(groups.values())[_GROUPS_SHOWN:]:
        rows.append((f"{len(others):,} others", sum(others)))
    if unknown := total - sum(groups.values()):
        rows.append((_UNTOLD, unknown))
    return [_table((title, "genes", "share"), [(value, f"{n:,}", _share(n, total)) for value, n in rows])]


def _gaps(about: Manifest, counts: GeneCounts) -> list[str]:
    gaps = []
    for flag, n in counts.flags.items():
        names = ", ".join(map(_escaped, counts.examples[flag]))
        more = ", ..." if n > len(counts.examples[flag]) else ""
        gaps.append(
            f"{n:,} genes ({_share(n, counts.genes)}) {_FLAGS.get(flag, 'are flagged')}: {names}{more} "
            f"(flag `{_escaped(flag)}`)"
        )
    for n, label in ((counts.text, "text"), (counts.symbol, "symbol"), (counts.ensembl_ids, "Ensembl id")):
        if lacking := counts.genes - n:
            verb = "has" if lacking == 1 else "have"
            gaps.append(f"{lacking:,} genes ({_share(lacking, counts.genes)}) {verb} no {label}")
    if about.organism != "mouse" and not counts.mouse_symbols:
        gaps.append("No mouse orthologues: mouse data are matched by equal symbols only")
    if not counts.gene_types:
        gaps.append("The genes' types (protein-coding, ncRNA, ...) are not stated")
    gaps += [
        f"The {label} of the texts is not stated"
        for label, value in (("licence", about.text.licence), ("date", about.text.date))
        if not value
    ]
    if about.encoder.pooling == UNKNOWN_POOLING:
        gaps.append(
            "The vectors were made elsewhere: that they belong to these genes and texts is taken on trust"
        )
    if not about.encoder.revision:
        gaps.append(
            "The encoder's revision is not stated: whether it still gives these vectors cannot be checked"
        )
    if about.encoder.max_tokens is not None and about.encoder.long_text == "truncate":
        gaps.append(f"Of texts beyond {about.encoder.max_tokens:,} tokens the encoder saw the beginning only")
    return gaps or ["None that is known"]


def _credit(about: Manifest) -> str:
    credit = f"Texts: {_told(about.text.attribution or about.text.source)}"
    exact = (
        "To say which lexicon exactly was used, give the identity that `lexicell genes info` prints for it: "
        "a hash over all its files, this one included."
    )
    return f"{credit}\n\nVectors: {_escaped(about.encoder.id)}\n\n{exact}"


def _most_frequent(values: Any) -> dict[str, int]:
    counted = Counter(value for value in values if value)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _share(n: int, total: int) -> str:
    return f"{n / total:.1%}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruler = ["---", *["---:"] * (len(header) - 1)] if len(header) > 2 else ["---", "---"]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ruler, *rows))


def _bullets(lines: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {line}" for line in lines)]


def _told(value: str) -> str:
    return _escaped(value) or _UNTOLD


def _escaped(value: str) -> str:
    """`value` as one line that Markdown shows as it is and a terminal cannot take for a command."""
    return _MARKUP.sub(r"\\\1", " ".join(_CONTROL.sub(" ", value).split()))
