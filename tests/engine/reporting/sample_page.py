"""A page about cells that do not exist, whose truths are known."""

from dataclasses import replace
from importlib.resources import files

import numpy as np

from lexicell.pl.style import colours
from lexicell.reporting.content import (
    Categories,
    Cells,
    Command,
    Facts,
    Folded,
    Genes,
    Matrix,
    Numbers,
    Page,
    Section,
    Sentence,
    Table,
    TableColumn,
)

ASSETS = files("lexicell.reporting") / "page"
#: Cells of a page.
N = 3000
HOSTILE = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror="alert(2)">'
ENDS = "</script><b>bold</b>&amp;\u2028"
TYPES = (
    "naive B cell", "memory B cell", "CD4-positive, alpha-beta T cell", "natural killer cell", HOSTILE,
    IMAGE, "classical monocyte", "plasmacytoid dendritic cell", ENDS, "platelet",
)  # fmt: skip
#: Alone on the left of the map, and the only cells to which MARKER contributes much, to which LACKING does
#: not, and that have a high score.
ISLAND, MARKER, LACKING = "natural killer cell", "GENE7", "GENE11"


def sample(n=N, genes=128, columns=6, seed=0):
    """A page of `n` cells."""
    random = np.random.default_rng(seed)
    types = random.choice(len(TYPES), n, p=[0.2, 0.16, 0.14, 0.12, 0.1, 0.08, 0.08, 0.06, 0.04, 0.02])
    island = types == TYPES.index(ISLAND)
    turn = types * 2 * np.pi / len(TYPES)
    middles = np.stack([4 + 3 * np.cos(turn), 3 * np.sin(turn)], axis=1)
    middles[island] = [-6, 0]
    positions = (middles + random.normal(scale=0.7, size=(n, 2))).astype(np.float32)
    score = random.normal(size=n).astype(np.float32)
    score[island] += 4
    missing = random.normal(2, 1, n).astype(np.float32)
    missing[::5] = np.nan
    coarse = np.where(random.random(n) < 0.03, -1, types // 2)
    drawn = [
        categories("cell_type", "obs", TYPES, types),
        categories("predicted", "annotation", tuple(f"class {i}" for i in range(5)), coarse),
        categories("donor", "obs", tuple(f"donor {i:03d}" for i in range(130)), random.integers(0, 130, n)),
        categories(HOSTILE, "obs", (IMAGE, ENDS), random.integers(0, 2, n)),
        Numbers("score", "obs", score, note="High in some cells."),
        Numbers("missing in some", "obs", missing),
        Numbers("total_counts", "quality", random.lognormal(8, 0.6, n).round().astype(np.float32)),
        Numbers("likeness", "quality", random.random(n).astype(np.float32)),
        Numbers("a cell that kills others", "sentence", (score / 10).astype(np.float32)),
        Numbers("a cell that makes antibodies", "sentence", random.normal(size=n).astype(np.float32)),
        *(
            categories(f"batch {i}", "obs", ("one", "two", "three"), random.integers(0, 3, n))
            for i in range(max(columns - 6, 0))
        ),
    ]
    cells = Cells(
        names=[f"{''.join(random.choice(list('ACGT'), 16))}-{i % 8:03d}" for i in range(n)],
        positions=positions,
        layout="Cells whose vectors are alike lie together; distances between groups mean little.",
        total=n * 4,
        columns=tuple(drawn),
        group="cell_type",
        genes=contributions(random, n, genes, island) if genes else None,
    )
    return Page(
        title=f"A run about {HOSTILE} {IMAGE}",
        summary=(
            Sentence(f"{n:,} cells of ten types were embedded with a lexicon of 1,536 numbers a gene."),
            Sentence("Vectors of shuffled genes reach 0.41 where these reach 0.87.", serious=False),
            Sentence("A third of the counts is of genes that the lexicon does not describe.", serious=True),
        ),
        before=(run_section(),),
        cells=cells,
        after=(quality_section(), groups_section()),
        made="Made on 30 November 2026 with lexicell 0.1.0, in 12 seconds.",
    )


#: Categories of the page below that are easily mistaken, cut or turned around.
LETTERS = "x" * 3000
TURNED = "\u05ea\u05d0\u05d9 T 12 \u202e"
ODD = ("missing", "no value", LETTERS, TURNED, "lexicell_coverage_of_all_genes", "a\r\nb", "\ud800 half")
#: A number that float32 does not hold.
WHOLE = 2**24 + 1


def odd(n=900, seed=0):
    """A page of columns, labels and numbers as nobody wants them."""
    page = sample(n, seed=seed)
    random = np.random.default_rng(seed)
    drawn = (
        categories("odd", "obs", ODD, random.integers(-1, len(ODD), n)),
        Numbers("large", "obs", np.where(np.arange(n) % 2, 1e30, 5).astype(np.float32)),
        Numbers("whole", "obs", (WHOLE + np.arange(n)).astype(np.float64)),
        Numbers("nothing", "obs", np.full(n, np.nan, np.float32)),
        Numbers("the same", "obs", np.full(n, 7.5, np.float32)),
        Numbers("y" * 3000, "obs", random.random(n).astype(np.float32)),
    )
    columns = (TableColumn("group"), TableColumn("genes"), TableColumn("cells", "number", ",d"))
    table = Table("Long", columns, ((LETTERS, "ANXA5, S100A9", 1234), (TURNED, "GNLY", 5)))
    part = Section("odd", "Odd", tuple(Folded(name, (table,), category=name) for name in ODD))
    names = [" outer ", "two\nlines", *page.cells.names[2:]]
    cells = replace(page.cells, names=names, columns=drawn, group="odd", layout="X_umap, as the data have it")
    return replace(page, cells=cells, after=(part,))


def categories(name, origin, names, codes):
    """A column of names."""
    present = np.bincount(codes[codes >= 0], minlength=len(names))
    return Categories(
        name, origin, tuple(names), codes.astype(np.int16), tuple(int(4 * count) for count in present),
        tuple(colours(len(names))), note=f"{len(names)} groups of {name}.",
    )  # fmt: skip


def contributions(random, n, m, island):
    """What genes contribute: little at random, except for two."""
    names = tuple(f"GENE{i}" for i in range(m))
    values = random.normal(0, 0.02, (m, n)).astype(np.float32)
    values[random.random((m, n)) < 0.6] = 0
    values[names.index(MARKER), island] = 0.4
    values[names.index(LACKING), ~island] = 0.3
    values[names.index(LACKING), island] = 0
    top = np.argsort(-np.abs(values), axis=0)[:6].T
    return Genes(
        names=names,
        contributions=values,
        note="The genes that vary most between groups.",
        all_names=names,
        top=top.astype(np.uint16),
        top_contributions=np.take_along_axis(values.T, top, axis=1),
    )


def run_section():
    """What was run."""
    return Section(
        "run",
        "The run",
        (
            Facts((("Cells", "12,000"), ("Genes described", "18,204 of 20,112"), ("Label", HOSTILE))),
            Command(
                "Make these vectors again:", "lexicell embed counts.h5ad --lexicon small --out vectors.zarr"
            ),
        ),
    )


def quality_section():
    """Tables and a matrix."""
    groups = tuple(TYPES)
    values = np.clip(np.random.default_rng(3).normal(size=(len(groups),) * 2), -1, 1)
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1)
    columns = (
        TableColumn("vectors"), TableColumn("macro F1", "bar", ".3f", full=1.0),
        TableColumn("against PCA", "signed", "+.3f"), TableColumn("cells", "number", ",d"),
    )  # fmt: skip
    rows = (
        ("weighted", 0.871, 0.04, 3000), ("plain mean", 0.802, -0.02, 3000),
        ("shuffled genes", 0.41, -0.41, 3000), (IMAGE, None, None, None),
    )  # fmt: skip
    return Section(
        "quality",
        "How good the vectors are",
        (
            Table("Labels that neighbours share", columns, rows, "Means of five folds.", frozenset({2})),
            Matrix("How alike the groups are", groups, values, "Cosines of the groups' means."),
        ),
    )


def groups_section():
    """A folded part for each group."""
    columns = (TableColumn("gene"), TableColumn("contribution", "bar"))
    return Section(
        "groups",
        "The groups",
        tuple(
            Folded(
                f"{name}: cells and genes",
                (
                    Sentence(f"What speaks for {name}."),
                    Table("", columns, ((MARKER, 0.4), (LACKING, 0.1), ("GENE2", 0.05))),
                ),
                category=name,
                opened=i == 0,
            )
            for i, name in enumerate((ISLAND, *TYPES[:3], IMAGE, "not on this page"))
        ),
    )
