"""NCBI's dumps: lines of the wanted species out of gzipped tables of millions."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from lexicell.errors import CorruptDataError, InputError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lexicell._download import Download

__all__ = ["TAXA", "Gene", "gene_id_of", "orthologues", "records", "rows"]

TAXA = MappingProxyType({"human": "9606", "mouse": "10090"})
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Gene:
    """A record of NCBI Gene; names as NCBI spells them."""

    ncbi_id: int
    symbol: str
    name: str | None
    aliases: list[str]
    ensembl_ids: list[str]
    gene_type: str


def records(dump: Download, organism: str, left_out: Counter[str]) -> Iterator[Gene]:
    """Genes of a dump of records, without placeholders and what NCBI has withdrawn; those are counted."""
    needed = (
        "GeneID", "Symbol", "Synonyms", "dbXrefs", "description", "type_of_gene",
        "Symbol_from_nomenclature_authority", "Full_name_from_nomenclature_authority",
    )  # fmt: skip
    for row in rows(dump, needed, {"tax_id": (TAXA[organism],)}):
        gene_id, symbol, synonyms, links, description, kind, official, full_name = row
        if symbol == "NEWENTRY":
            left_out["placeholder (NEWENTRY)"] += 1
            continue
        if description.upper().startswith("DISCONTINUED"):
            left_out["discontinued"] += 1
            continue
        # Ensembl and HGNC call mitochondrial genes otherwise than NCBI does (MT-CO1, COX1).
        aliases = [name for name in _several([synonyms, official]) if name != symbol]
        ensembl = [value for database, _, value in (link.partition(":") for link in _several([links]))
                   if database == "Ensembl" and value]  # fmt: skip
        name = next((name for name in (full_name, description) if name not in {"", "-"}), None)
        yield Gene(gene_id_of(gene_id, dump), symbol, name, aliases, ensembl, kind)


def _several(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(part for value in values for part in value.split("|") if part not in {"", "-"}))


def orthologues(dump: Download, organism: str) -> dict[int, set[int]]:
    """Gene of `organism` -> its orthologues in the other one, whichever of them a line names first."""
    taxa = tuple(TAXA.values())
    pairs: dict[int, set[int]] = {}
    needed = ("tax_id", "GeneID", "relationship", "Other_tax_id", "Other_GeneID")
    for taxon, gene, relationship, other_taxon, other in rows(
        dump, needed, {"tax_id": taxa, "Other_tax_id": taxa}
    ):
        if taxon != other_taxon and relationship == "Ortholog":
            ids = gene_id_of(gene, dump), gene_id_of(other, dump)
            key, value = ids if taxon == TAXA[organism] else ids[::-1]
            pairs.setdefault(key, set()).add(value)
    return pairs


def rows(
    dump: Download, needed: Sequence[str], where: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, ...]]:
    """The needed fields of those lines whose columns have one of the values of `where`.

    Dumps hold millions of lines about other species, so a regular expression goes through blocks of bytes:
    three times as fast as splitting lines, and the memory is that of one block.
    """
    blocks = _blocks(dump)
    header = next(blocks).decode("utf-8", "replace").lstrip("#").split("\t")
    for name in (*needed, *where):
        if name not in header:
            message = f"{dump.url} has no column {name!r}; there are {', '.join(header)}."
            raise InputError(message)
    places = [header.index(name) for name in needed]
    last = max(header.index(name) for name in where)
    fields = ["|".join(where.get(name, ())) or r"[^\t\n]*" for name in header[: last + 1]]
    pattern = "\n" + "\t".join(f"(?:{field})" for field in fields) + r"(?:\t[^\n]*)?(?=\n)"
    lines = re.compile(pattern.encode())
    n = 0
    for block in blocks:
        for match in lines.finditer(block):
            n += 1
            line = match[0][1:]
            try:
                values = line.decode().split("\t")
            except UnicodeDecodeError as error:
                shown = line[:60].decode("utf-8", "replace")
                message = f"{dump.url} has a line that is not UTF-8 ({shown!r}); report it to NCBI."
                raise InputError(message) from error
            if len(values) != len(header):
                shown = f"{len(values)} instead of {len(header)} columns: {line[:60]!r}"
                message = f"{dump.url} has a line with {shown}."
                raise InputError(message)
            yield tuple(values[place].strip() for place in places)
    if not n:
        about = " and ".join(f"{name} {' or '.join(values)}" for name, values in where.items())
        message = f"{dump.url} has no line with {about}; is this the right file?"
        raise InputError(message)


def _blocks(dump: Download) -> Iterator[bytes]:
    """First line, then blocks of whole lines: each line between two line feeds, which blocks share.

    Reading on to the end also checks gzip's own checksum.
    """
    try:
        with gzip.open(dump.path) as file:
            if not (first := file.readline()):
                message = "it is empty"
                raise EOFError(message)
            yield first.rstrip(b"\r\n")
            partial_line = b"\n"
            while block := file.read(_BLOCK):
                block = partial_line + block
                end = block.rfind(b"\n")
                yield block[: end + 1]
                partial_line = block[end:]
            yield partial_line + b"\n"  # the last line may have no line feed
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        dump.discard()
        message = f"{dump.url} is damaged ({error}) and has left the cache; run again to fetch it anew."
        raise CorruptDataError(message) from error


def gene_id_of(value: str, dump: Download) -> int:
    """Read an NCBI Gene id."""
    if value.isascii() and value.isdigit():
        return int(value)
    message = f"{dump.url} has {value!r} where a gene id should be."
    raise InputError(message)
