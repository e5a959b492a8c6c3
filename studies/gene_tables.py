"""Lexicons side by side: geometry, and membership of gene sets on the same genes and splits.

``python -m studies.gene_tables LEXICON [LEXICON ...] [--sets go-bp disease.gmt] [--repeats 3] [--json FILE]``

Only genes that all lexicons have (by NCBI id) are predicted, so that the tables differ in their vectors and
in nothing else. Controls: the first lexicon's vectors shuffled over the genes, and random ones. "name in
text" is the AUROC of knowing only whether a gene's text holds the set's name.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench import machine
from numpy.typing import NDArray

from lexicell.evaluation import (
    CONTROLS,
    MembershipProtocol,
    control_vectors,
    match_gene_sets,
    measure_geometry,
    name_leak,
    predict_membership,
    read_gene_sets,
)
from lexicell.evaluation.genes.membership import GeneVectors
from lexicell.lexicon import Lexicon
from studies.published import read_published

__all__ = ["compare", "main"]


def compare(lexicons: Sequence[Lexicon], path: str, protocol: MembershipProtocol) -> dict[str, Any]:
    """Predict the sets of one file from all lexicons; `path` is a GMT file or ``go-bp``."""
    first = lexicons[0]
    rows = [
        {gene: row for row, gene in enumerate(one.genes.column("ncbi_id").to_pylist()) if gene is not None}
        for one in lexicons
    ]
    common = set.intersection(*(set(one) for one in rows))
    sets = match_gene_sets(first, read_gene_sets(path), within=(rows[0][gene] for gene in common))
    tables: dict[str, GeneVectors] = {}
    leaks = {}
    for lexicon, own in zip(lexicons, rows, strict=True):
        there = np.full(first.n_genes, -1, np.int64)
        there[[rows[0][gene] for gene in common]] = [own[gene] for gene in common]
        tables[lexicon.name] = _rerouted(lexicon, there)
        moved = match_gene_sets(lexicon, read_gene_sets(path), within=(own[gene] for gene in common))
        leaks[lexicon.name] = name_leak(lexicon, moved)
    table = first.vectors(first.rows)
    controls = {name: control_vectors(table, name, seed=protocol.seed).__getitem__ for name in CONTROLS}
    start = time.perf_counter()
    found = predict_membership(sets, {**tables, **controls}, protocol)
    seconds = time.perf_counter() - start
    ours = found.by_term(first.name)
    return {
        "sets": sets.name,
        "terms": len(sets.terms),
        "skipped": dict(sets.skipped),
        "common_genes": len(common),
        "seconds": round(seconds, 1),
        "auroc": {
            name: {
                "mean": round(float(found.by_term(name).mean()), 4),
                "sd_of_repeats": round(float(found.auroc[:, i].mean(axis=0).std()), 4),
                "median": round(float(np.median(found.by_term(name))), 4),
                "first_is_better": int((ours > found.by_term(name)).sum()),
            }
            for i, name in enumerate(found.tables)
        },
        "name_in_text": {
            name: None
            if leak is None
            else {
                "positives": round(float(leak.positives.mean()), 4),
                "negatives": round(float(leak.negatives.mean()), 4),
                "auroc": round(float(leak.auroc.mean()), 4),
            }
            for name, leak in leaks.items()
        },
        "by_term": {
            term.id: dict(zip(found.tables, found.auroc[i].mean(axis=-1).round(4).tolist(), strict=True))
            for i, term in enumerate(sets.terms)
        },
    }


def _rerouted(lexicon: Lexicon, there: NDArray[np.int64]) -> GeneVectors:
    return lambda rows: lexicon.vectors(there[rows])


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table for each file of sets."""
    parser = argparse.ArgumentParser(prog="python -m studies.gene_tables", description=main.__doc__)
    parser.add_argument("lexicon", nargs="+", help="bundled names or folders")
    parser.add_argument("--sets", nargs="+", default=["go-bp"], help="go-bp, or GMT files")
    parser.add_argument("--published", nargs="*", default=[], help="TSVs of AUROCs to stand beside")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="append the record to this file")
    given = parser.parse_args(argv)
    protocol = MembershipProtocol(seed=given.seed, repeats=given.repeats)
    before = machine.fingerprint()
    lexicons = [Lexicon.open(name) for name in given.lexicon]
    shapes = {}
    for one in lexicons:
        shape = measure_geometry(one.vectors(one.rows), seed=given.seed)
        shapes[one.name] = {
            "genes": one.n_genes,
            "dim": one.dim,
            "identity": one.identity,
            "mean_cosine": round(shape.mean_cosine, 4),
            "effective_rank": round(shape.effective_rank, 2),
            "variance": {str(n): round(shape.share(n), 4) for n in (1, 5, 10)},
        }
        print(one.name, shapes[one.name])
    results = [compare(lexicons, path, protocol) for path in given.sets]
    for result in results:
        print(f"\n{result['sets']}: {result['terms']} sets, {result['common_genes']:,} genes in common")
        for name, found in result["auroc"].items():
            print(f"  {name:<28} {found['mean']:.3f} +- {found['sd_of_repeats']:.3f}", end="")
            print(f"  first is better in {found['first_is_better']}")
        for name, leak in result["name_in_text"].items():
            print(f"  {name + ', name in text':<40} {leak}")
        for published in map(read_published, given.published):
            for one in lexicons:
                found = published.standing({term: by[one.name] for term, by in result["by_term"].items()})
                if found is not None:
                    place = f"place {found.rank} of {len(found.others) + 1} on {len(found.terms)} sets"
                    print(f"  {one.name} in {published.name}: {place}")
    if given.json is not None:
        record = {"machine": before, "protocol": {"seed": given.seed, "repeats": given.repeats}}
        machine.append({**record, "lexicons": shapes, "results": results}, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
