"""Promoters of genes as BED, from a GTF."""

from __future__ import annotations

import gzip
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from lexicell._files import reading_file
from lexicell.errors import CoverageError, InputError

__all__ = ["promoters", "read_genes"]

_ID = re.compile(rb'\bgene_id "([^"]+)"')
_GZIP = b"\x1f\x8b"


def read_genes(path: str, wanted: Collection[str]) -> pd.DataFrame:
    """Read the rows of genes of a GTF, gzipped or not, line by line.

    Parameters
    ----------
    path
        The file.
    wanted
        Ensembl ids without version.

    Returns
    -------
    pandas.DataFrame
        ``ensembl_id`` (without version), ``chrom``, ``start`` and ``end`` (as in the file: from 1, both
        included), ``strand``; a gene may lie in several places, as those of X and Y do.

    Raises
    ------
    InputError
        There is no such file, or it has no rows of genes with an id and a strand.
    CoverageError
        None of them is wanted.
    CorruptDataError
        It can't be read.
    """
    if not Path(path).is_file():
        msg = f"{path}: no such file; give a GTF"
        raise InputError(msg)
    found: list[tuple[str, str, int, int, str]] = []
    others: list[str] = []
    with reading_file(path, "give a GTF, gzipped or not"):
        for line in _lines(path):
            fields = line.split(b"\t", 8)
            if len(fields) < 9 or fields[2] != b"gene" or fields[6] not in {b"+", b"-"}:
                continue
            if (match := _ID.search(fields[8])) is None:
                continue
            gene = match[1].decode().partition(".")[0]
            if gene in wanted:
                place = fields[0].decode(), int(fields[3]), int(fields[4]), fields[6].decode()
                found.append((gene, *place))
            elif len(others) < 3:
                others.append(gene)
    if not found and not others:
        msg = f"{path} has no rows of genes with a gene_id; give a GTF (a GFF3 is another format)"
        raise InputError(msg)
    if not found:
        ours = ", ".join(sorted(wanted)[:3]) or "none with an Ensembl id"
        msg = f"{path} has no gene of this data set: here are {ours}, there {', '.join(others)}"
        raise CoverageError(msg)
    return pd.DataFrame(found, columns=["ensembl_id", "chrom", "start", "end", "strand"]).drop_duplicates()


def promoters(genes: pd.DataFrame, upstream: int, downstream: int) -> pd.DataFrame:
    """Cut promoters, as the columns of a BED: from 0, the end not included.

    ``upstream`` bases before the first base of the gene on its strand, and ``downstream`` from that base on.
    What would lie before a chromosome is cut off.
    """
    forward = (genes["strand"] == "+").to_numpy()
    first = np.where(forward, genes["start"] - 1, genes["end"] - 1)
    start = first - np.where(forward, upstream, downstream - 1)
    end = first + np.where(forward, downstream, upstream + 1)
    bed = pd.DataFrame(
        {
            "chrom": genes["chrom"].to_numpy(),
            "start": start.clip(0),
            "end": end,
            "name": genes["ensembl_id"].to_numpy(),
            "score": 0,
            "strand": genes["strand"].to_numpy(),
        }
    )
    return bed.sort_values(["chrom", "start", "name"], ignore_index=True)


def _lines(path: str) -> Iterator[bytes]:
    with ExitStack() as opened:
        file: IO[bytes] = opened.enter_context(Path(path).open("rb"))
        packed = file.read(2) == _GZIP
        file.seek(0)
        yield from opened.enter_context(gzip.GzipFile(fileobj=file)) if packed else file
