"""Build the bundled lexicon human-go-minilm from the two tables in this folder.

Usage: ``python lexicons/human-go-minilm/build.py [OUT]``; OUT is the package's own data folder by
default, where an older lexicon is replaced once the new one is complete.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from lexicell.lexicon import EncoderOptions, TextOptions, build_lexicon

SOURCES = Path(__file__).resolve().parent
PACKAGED = SOURCES.parents[1] / "engine" / "lexicell" / "lexicon" / "data" / "human-go-minilm"


def main(out: Path) -> None:
    """Build the lexicon at `out`; about five minutes on two cores."""
    start = time.monotonic()
    tenths = 0

    def progress(done: int, total: int) -> None:
        nonlocal tenths
        if done * 10 // total > tenths:
            tenths = done * 10 // total
            seconds = time.monotonic() - start
            left = seconds / done * (total - done)
            print(f"{done:,} of {total:,} texts, {done / seconds:.0f}/s, {left:.0f} s left", flush=True)

    lexicon = build_lexicon(
        SOURCES / "gene_text_human_orgdb_go.tsv.gz",
        out,
        encoder="minilm",
        encoder_options=EncoderOptions(long_text="truncate"),
        name="human-go-minilm",
        organism="human",
        source="org.Hs.eg.db and GO.db 3.16 (Debian r-bioc-org.hs.eg.db, r-bioc-go.db)",
        source_date="Bioconductor 3.16",
        licence="Artistic-2.0; Gene Ontology terms CC BY 4.0",
        attribution=(
            "Gene texts from org.Hs.eg.db and the Gene Ontology (CC BY 4.0); orthologues from celltypist "
            "(MIT); vectors by all-MiniLM-L6-v2 (Apache-2.0). See NOTICE.md."
        ),
        orthologues=SOURCES / "human_mouse_orthologs_ensembl105.csv.gz",
        texts=TextOptions(text_source="org.Hs.eg.db + GO.db"),
        notes={"NOTICE.md": (SOURCES / "NOTICE.md").read_bytes()},
        overwrite=True,
        progress=progress,
        notify=print,
    )
    lexicon.verify()
    print(f"{lexicon.path}: {lexicon.n_genes:,} genes x {lexicon.dim}, identity {lexicon.identity[:16]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGED)
