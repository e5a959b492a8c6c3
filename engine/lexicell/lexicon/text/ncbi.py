"""Gene tables from NCBI's own dumps: records, summaries and orthologues, joined."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from lexicell._download import Download, download
from lexicell._files import cache_folder, check_new_file, staged_path
from lexicell.errors import InputError
from lexicell.lexicon.text.ncbi_dumps import TAXA, Gene, gene_id_of, orthologues, records, rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FetchedGenes", "fetch_genes"]

_BASE = "https://ftp.ncbi.nlm.nih.gov/gene/DATA"
_BASE_VARIABLE = "LEXICELL_NCBI_URL"
_METADATA = b"lexicell.source"

Organism = Literal["human", "mouse"]
_RECORDS = MappingProxyType(
    {
        "human": "GENE_INFO/Mammalia/Homo_sapiens.gene_info.gz",
        "mouse": "GENE_INFO/Mammalia/Mus_musculus.gene_info.gz",
    }
)
_SUMMARIES = "gene_summary.gz"
_ORTHOLOGUES = "gene_orthologs.gz"

# Regulatory elements and the like: more than half of the human records, and never in a count matrix.
_REGION = "biological-region"
_REFSEQ, _ALLIANCE = "RefSeq", "Alliance of Genome Resources"
_FREE = (_REFSEQ, _ALLIANCE)

_LICENCE = "Public domain (US government work)"
_CREDIT = "Gene records and RefSeq summaries by NCBI Gene, US National Library of Medicine."


@dataclass(frozen=True)
class FetchedGenes:
    """What `fetch_genes` wrote.

    Attributes
    ----------
    path
        The Parquet file.
    organism
        "human" or "mouse".
    date
        ISO date of the newest dump.
    genes
        Rows written.
    own, from_orthologue
        Genes with a summary of their own, and with their human orthologue's.
    several_orthologues
        Mouse genes without a summary that have several human orthologues, none of the same symbol.
    withheld
        Genes without a text because their only summary comes from a source with terms of its own.
    types
        Gene type -> (genes, genes with a summary), most genes first.
    left_out
        Why records are not in the table -> how many.
    files
        The dumps.
    """

    path: Path
    organism: str
    date: str
    genes: int
    own: int
    from_orthologue: int
    several_orthologues: int
    withheld: int
    types: Mapping[str, tuple[int, int]]
    left_out: Mapping[str, int]
    files: tuple[Download, ...]

    @property
    def without(self) -> int:
        """Genes without a summary."""
        return self.genes - self.own - self.from_orthologue

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "output": str(self.path),
            "organism": self.organism,
            "date": self.date,
            "genes": self.genes,
            "own_summary": self.own,
            "orthologue_summary": self.from_orthologue,
            "no_summary": self.without,
            "several_orthologues": self.several_orthologues,
            "withheld": self.withheld,
            "types": {kind: {"genes": n, "summaries": m} for kind, (n, m) in self.types.items()},
            "left_out": dict(self.left_out),
            "files": [{**asdict(file), "path": str(file.path)} for file in self.files],
        }


def fetch_genes(
    out: str | Path,
    *,
    organism: Organism = "human",
    types: Sequence[str] = (),
    all_sources: bool = False,
    source: Literal["ncbi"] = "ncbi",
    base_url: str | None = None,
    refresh: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> FetchedGenes:
    """Make a table of genes and their summaries from NCBI's dumps.

    Columns: ``ncbi_id`` (int64), ``symbol``, ``name``, ``aliases`` and ``ensembl_ids`` (lists),
    ``gene_type``, ``summary`` and ``summary_source`` (null where there is none), and for human genes
    ``mouse_symbols`` (list). Rows are sorted by NCBI id, and the same dumps give the same bytes. The
    schema's metadata ``lexicell.source`` is JSON about origin, date and licence, for `build_lexicon`.

    A mouse gene without a summary takes that of its human orthologue. Of several it takes the one of the
    same symbol but for its case (Gstm1, GSTM1), as alignment does, or else none's: which of them describes
    it is not ours to guess.

    Parameters
    ----------
    out
        Parquet file to create, by its name.
    organism
        Whose genes.
    types
        NCBI's gene types to keep ("protein-coding"); by default all but "biological-region".
    all_sources
        Whether to take summaries from sources with terms of their own too (OMIM's are copyrighted), rather
        than RefSeq's and those of the Alliance of Genome Resources only.
    source
        There is one so far.
    base_url
        Where the dumps lie; by default ``$LEXICELL_NCBI_URL``, or else NCBI.
    refresh
        Whether to fetch dumps anew that the cache holds.
    overwrite
        Whether to replace `out`.
    progress
        Called with (bytes there, bytes in all) of the dump that is being fetched.
    notify
        Called with one line for each dump that is fetched, and about trouble on the way.

    Raises
    ------
    InputError
        An option cannot be used, or a dump is not as expected.
    InputNotFoundError
        A dump cannot be fetched, and there is no earlier copy.
    OutputExistsError
        `out` exists and is not to be replaced.
    CorruptDataError
        A dump is damaged; it is gone from the cache then.
    WriteError
        The cache or `out` cannot be written.
    """
    target = Path(out)
    _check(target, organism, source, overwrite=overwrite)
    base = (base_url or os.environ.get(_BASE_VARIABLE) or _BASE).rstrip("/")
    partner = "mouse" if organism == "human" else "human"
    dumps = {
        name: download(
            f"{base}/{name}", cache_folder() / "downloads", refresh=refresh, progress=progress, notify=notify
        )
        for name in (_RECORDS[organism], _RECORDS[partner], _SUMMARIES, _ORTHOLOGUES)
    }
    left_out: Counter[str] = Counter()
    genes = list(records(dumps[_RECORDS[organism]], organism, left_out))
    genes = _of_types(genes, types, organism, left_out)
    partners = {gene.ncbi_id: gene for gene in records(dumps[_RECORDS[partner]], partner, Counter())}
    orthologous = orthologues(dumps[_ORTHOLOGUES], organism)
    texts = _Texts(dumps[_SUMMARIES], organism, all_sources=all_sources)
    columns: dict[str, list[Any]] = {
        name: [getattr(gene, name) for gene in genes]
        for name in ("ncbi_id", "symbol", "name", "aliases", "ensembl_ids", "gene_type")
    }
    pairs = [texts.of(gene, orthologous, partners) for gene in genes]
    columns["summary"] = [text for text, _ in pairs]
    columns["summary_source"] = [origin for _, origin in pairs]
    if organism == "human":
        columns["mouse_symbols"] = [
            sorted({partners[i].symbol for i in orthologous.get(gene.ncbi_id, ()) if i in partners})
            for gene in genes
        ]
    files = tuple(dumps.values())
    date = max(file.date for file in files)
    _write(target, columns, _provenance(organism, date, texts.sources, files), overwrite=overwrite)
    all_types = Counter(gene.gene_type for gene in genes)
    with_text = Counter(
        gene.gene_type for gene, (text, _) in zip(genes, pairs, strict=True) if text is not None
    )
    return FetchedGenes(
        path=target,
        organism=organism,
        date=date,
        genes=len(genes),
        own=texts.own,
        from_orthologue=texts.from_orthologue,
        several_orthologues=texts.several,
        withheld=texts.withheld,
        types={kind: (n, with_text[kind]) for kind, n in all_types.most_common()},
        left_out=left_out,
        files=files,
    )


class _Texts:
    """The best summary of each gene, and the account of where summaries came from."""

    def __init__(self, dump: Download, organism: str, *, all_sources: bool) -> None:
        self.sources: set[str] = set()
        self.own = self.from_orthologue = self.several = self.withheld = 0
        self._borrows = organism == "mouse"
        self._best: dict[int, tuple[str, str]] = {}
        self._closed: set[int] = set()
        taxa = tuple(TAXA.values()) if self._borrows else (TAXA[organism],)
        for gene_id, origin, text in rows(dump, ("GeneID", "Source", "Summary"), {"tax_id": taxa}):
            number = gene_id_of(gene_id, dump)
            if text in {"", "-"}:
                continue
            if origin not in _FREE and not all_sources:
                self._closed.add(number)
            elif number not in self._best or _rank(origin) < _rank(self._best[number][1]):
                self._best[number] = (text, origin)

    def of(
        self, gene: Gene, pairs: Mapping[int, set[int]], others: Mapping[int, Gene]
    ) -> tuple[str | None, str | None]:
        """Summary of a gene and its source, None where there is none."""
        if best := self._best.get(gene.ncbi_id):
            self.own += 1
            self.sources.add(best[1])
            return best
        relatives = [i for i in pairs.get(gene.ncbi_id, ()) if i in others] if self._borrows else []
        if len(relatives) > 1:
            alike = [i for i in relatives if others[i].symbol.upper() == gene.symbol.upper()]
            relatives = alike or relatives
        if len(relatives) == 1 and (best := self._best.get(relatives[0])):
            self.from_orthologue += 1
            text, origin = best
            self.sources.add(origin)
            human = others[relatives[0]]
            return text, f"human orthologue {human.symbol} (NCBI {human.ncbi_id}), {origin}"
        self.several += len(relatives) > 1
        self.withheld += gene.ncbi_id in self._closed
        return None, None


def _rank(origin: str) -> int:
    return _FREE.index(origin) if origin in _FREE else len(_FREE)


def _check(target: Path, organism: str, source: str, *, overwrite: bool) -> None:
    for label, value, allowed in (("organism", organism, get_args(Organism)), ("source", source, ("ncbi",))):
        if value not in allowed:
            message = f"{value!r} is no {label} to fetch genes of or from; there is {' and '.join(allowed)}."
            raise InputError(message)
    if target.suffix.lower() != ".parquet":
        message = f"{target} should end in .parquet, which is what is written."
        raise InputError(message)
    check_new_file(target, overwrite=overwrite)


def _of_types(
    genes: Sequence[Gene], types: Sequence[str], organism: str, left_out: Counter[str]
) -> list[Gene]:
    sizes = Counter(gene.gene_type for gene in genes)
    for kind in types:
        if kind not in sizes:
            message = f"NCBI has no {organism} genes of type {kind!r}; there are {', '.join(sorted(sizes))}."
            raise InputError(message)
    keep = set(types) or sizes.keys() - {_REGION}
    left_out.update({kind: n for kind, n in sizes.items() if kind not in keep})
    return sorted((gene for gene in genes if gene.gene_type in keep), key=lambda gene: gene.ncbi_id)


def _provenance(organism: str, date: str, sources: set[str], files: Iterable[Download]) -> dict[str, Any]:
    licence, credit = _LICENCE, _CREDIT
    if _ALLIANCE in sources:
        licence += f"; summaries by the {_ALLIANCE}: CC BY 4.0"
        credit += f" Summaries by the {_ALLIANCE} (alliancegenome.org), CC BY 4.0."
    if others := sorted(sources - set(_FREE)):
        licence += f"; summaries by {', '.join(others)}: terms of their own"
        credit += f" Summaries by {', '.join(others)} are under terms of their own."
    return {
        "organism": organism,
        "source": "NCBI Gene",
        "date": date,
        "licence": licence,
        "attribution": credit,
        "files": [
            {"url": file.url, "date": file.date, "bytes": file.bytes, "blake3": file.blake3} for file in files
        ],
    }


def _write(target: Path, columns: dict[str, list[Any]], source: dict[str, Any], *, overwrite: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {_METADATA: json.dumps(source, ensure_ascii=False).encode()}
    table = pa.table(columns, schema=_schema(columns)).replace_schema_metadata(metadata)
    with staged_path(target, replace=overwrite) as staging, staging.open("wb") as file:
        pq.write_table(table, file, compression="zstd")


def _schema(columns: Iterable[str]) -> pa.Schema:
    import pyarrow as pa

    lists = {"aliases", "ensembl_ids", "mouse_symbols"}
    kinds = {"ncbi_id": pa.int64()} | dict.fromkeys(lists, pa.list_(pa.string()))
    return pa.schema([(name, kinds.get(name, pa.string())) for name in columns])
