"""Which column of a gene table holds what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexicell._say import listed
from lexicell.errors import InputError
from lexicell.lexicon.genes import TEXT_FLAGS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lexicell.lexicon.genes import TextFlag

__all__ = ["Columns", "TextOptions", "choose_columns"]


@dataclass(frozen=True)
class Columns:
    """Which column of a gene table holds what; None where there is no such column.

    Attributes
    ----------
    id
        NCBI Gene ids (integers).
    symbol
        Gene symbols.
    ensembl, alias, mouse
        Ensembl gene ids, other symbols, mouse orthologue symbols: separated by ``|``, or lists.
    name
        Full gene names.
    gene_type
        What kind of gene it is ("protein-coding").
    summary, summary_source
        What a gene does, in sentences, and where each of them comes from.
    go, go_mf, go_bp, go_cc
        Names of Gene Ontology terms, together or by aspect: separated by ``;`` or ``|``, or lists.
    text, text_source
        What is encoded as it stands, where no recipe is used, and where each text comes from.
    """

    id: str | None = None
    symbol: str | None = None
    ensembl: str | None = None
    alias: str | None = None
    mouse: str | None = None
    name: str | None = None
    gene_type: str | None = None
    summary: str | None = None
    summary_source: str | None = None
    go: str | None = None
    go_mf: str | None = None
    go_bp: str | None = None
    go_cc: str | None = None
    text: str | None = None
    text_source: str | None = None


@dataclass(frozen=True)
class TextOptions:
    """How a table of genes is read, and what becomes the text of a gene.

    Attributes
    ----------
    recipe
        How a text is put together: "summary", "name+summary", "name", "go", "name+go+summary", or a
        template with names of columns in braces, ``"{symbol}[ ({full_name})][. {summary}]"``; see
        `lexicell.lexicon.read_gene_texts`.
    text_column
        A column to encode as it stands, instead of a recipe. With neither, "name+summary" where the
        table has a column of summaries, and else the column ``text``.
    text_source
        What to note as the origin of each text; by default what the table says of its summaries or
        texts, or else the parts that a text was put together from, or the name of the text column.
    id_column, symbol_column, ensembl_column, alias_column, name_column
        Column names. By default the usual spellings are looked for, in any case, and a column that is
        not found is left empty; a name that is given must exist.
    drop
        Genes whose text has one of these flags are left out.
    """

    recipe: str | None = None
    text_column: str | None = None
    text_source: str | None = None
    id_column: str | None = None
    symbol_column: str | None = None
    ensembl_column: str | None = None
    alias_column: str | None = None
    name_column: str | None = None
    drop: tuple[TextFlag, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.recipe is not None and self.text_column is not None:
            message = (
                f"Texts are either made by the recipe {self.recipe!r} or taken from the column "
                f"{self.text_column!r}; give one of the two."
            )
            raise InputError(message)
        unknown = [flag for flag in self.drop if flag not in TEXT_FLAGS]
        if unknown:
            message = f"There is no flag {unknown[0]!r} of texts; there are {', '.join(TEXT_FLAGS)}."
            raise InputError(message)


# Spellings in the tables people have: ours, NCBI's, Ensembl's, HGNC's and UniProt's; in lower case.
_SPELLINGS = {
    "id": ("ncbi_id", "gene_id", "geneid", "ncbi_gene_id", "entrez_id", "entrezgene", "entrez"),
    "symbol": ("symbol", "gene_symbol", "hgnc_symbol", "approved symbol", "gene names (primary)"),
    "ensembl": ("ensembl_ids", "ensembl_id", "ensembl_gene_id", "ensembl"),
    "alias": ("aliases", "alias", "synonyms", "synonym"),
    "mouse": ("mouse_symbols",),
    "name": ("full_name", "gene_name", "name", "approved name", "gene description"),
    "gene_type": ("gene_type", "type_of_gene", "locus_type", "locus_group"),
    "summary": ("summary", "gene_summary", "function [cc]"),
    "summary_source": ("summary_source",),
    "go": ("go", "go_terms", "gene ontology (go)"),
    "go_mf": ("go_mf", "gene ontology (molecular function)"),
    "go_bp": ("go_bp", "gene ontology (biological process)"),
    "go_cc": ("go_cc", "gene ontology (cellular component)"),
    "text_source": ("text_source",),
}


def choose_columns(path: Path, present: Sequence[str], options: TextOptions) -> Columns:
    """Find out which of the columns `present` in the table at `path` holds what.

    Raises
    ------
    InputError
        If a column that `options` names does not exist, or no column says which gene a row is.
    """

    def existing(name: str, role: str) -> str:
        if name in present:
            return name
        message = f"{path} has no column {name!r} for the {role}; there are {listed(present)}."
        raise InputError(message)

    lower = {name.lower(): name for name in reversed(present)}
    chosen: dict[str, str | None] = {}
    for role, spellings in _SPELLINGS.items():
        name = getattr(options, f"{role}_column", None)
        if name is not None:
            chosen[role] = existing(name, role)
        else:
            chosen[role] = next((lower[spelling] for spelling in spellings if spelling in lower), None)
    if chosen["name"] is None and "type_of_gene" in lower:
        # In NCBI's gene_info a description is the full name; elsewhere it may be anything.
        chosen["name"] = lower.get("description")
    if options.text_column is not None:
        chosen["text"] = existing(options.text_column, "text")
    elif options.recipe is None and chosen["summary"] is None:
        chosen["text"] = "text" if "text" in present else None
    columns = Columns(**chosen)
    if columns.id is None and columns.symbol is None and columns.ensembl is None:
        message = (
            f"{path} has no column of gene ids or symbols by a usual name; say which of its columns is the "
            f"id, symbol or Ensembl column: {listed(present)}."
        )
        raise InputError(message)
    return columns
