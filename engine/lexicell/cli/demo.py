"""``lexicell demo``: real cells -> names by sentences, embedding, reasons, pictures; without a download."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexicell.cli import _console
from lexicell.cli._options import Json

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

__all__ = ["demo", "load_cells"]

_LABELS = "bulk_labels"
#: What the labels of the demonstration's cells are called here; none is shown to the sentences.
_TYPES = {
    "CD19+ B": "B cell",
    "CD14+ Monocyte": "monocyte",
    "CD34+": "hematopoietic stem cell",
    "CD56+ NK": "natural killer cell",
    "Dendritic": "dendritic cell",
}
_ABSENT = "hepatocyte"
#: Types whose sentences score the cells of the page.
_ASKED = ("B cell", "natural killer cell")


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the picture and the cells.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option(help="Of the controls, the folds and the UMAP.")] = 0,
    as_json: Json = False,
) -> None:
    """Name 700 real blood cells by sentences, embed them, and compare with controls."""
    from lexicell.errors import needing

    with needing("demo", "The demo"):
        import jinja2  # noqa: F401 - looked for before any work is done
        import scanpy  # noqa: F401
        import umap  # noqa: F401
    results = run_demo(folder, seed)
    if as_json:
        _console.result_json(results)
        return
    _print(results)


def load_cells() -> AnnData:
    """Load scanpy's bundled 700 PBMC (10x, Zheng et al. 2017) and undo their normalisation.

    ``.raw`` holds ``log1p(1e4 x / n_counts)`` of 765 genes, and ``n_counts`` is in ``obs``, so that the
    counts come back exactly.
    """
    import numpy as np
    import scanpy as sc
    import scipy.sparse as sp
    from anndata import AnnData

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the bundled file is of an old format, and says so
        old = sc.datasets.pbmc68k_reduced()
    logged = sp.csr_matrix(old.raw.X)
    sizes = np.repeat(old.obs["n_counts"].to_numpy(np.float64), np.diff(logged.indptr))
    counts = np.rint(np.expm1(logged.data.astype(np.float64)) * sizes / 1e4).astype(np.float32)
    x = sp.csr_matrix((counts, logged.indices, logged.indptr), shape=logged.shape)
    return AnnData(x, obs=old.obs[[_LABELS]].copy(), var=old.raw.var[[]].copy())


def run_demo(folder: Path, seed: int) -> dict[str, Any]:
    """Write cells, pictures and a page about them into `folder`; return what there is to say about them."""
    import numpy as np

    import lexicell
    from lexicell.counts import open_counts
    from lexicell.embedding import Options, embed_source, make_plan
    from lexicell.embedding.events import ignore
    from lexicell.evaluation import knn_accuracy, pca_of_expression
    from lexicell.reporting.layout import umap_of_vectors

    folder.mkdir(parents=True, exist_ok=True)
    _console.note("loading 700 blood cells that come with scanpy")
    adata = load_cells()
    slashed = adata.obs[_LABELS].cat  # HDF5 takes a slash in a name for a folder
    adata.obs[_LABELS] = slashed.rename_categories(lambda name: name.replace("/", " "))
    labels = adata.obs[_LABELS].astype(str).to_numpy()
    _console.note("naming the cells by six sentences, and one about a cell that is not there")
    components = pca_of_expression(adata.X, seed=seed)
    named = _name(adata, labels, components, seed)
    _console.note("naming half of the cells by the other half, which has measured none of their genes")
    across = _name_across(adata, labels, seed)
    _console.note("embedding (the first run on a machine compiles the kernel, which takes some seconds)")
    lexicell.tl.embed(adata, listener=_console.listen(lambda done, total, beside="": None))  # noqa: ARG005
    vectors = adata.obsm["X_lexicell"]

    with open_counts(adata) as source:
        plan = make_plan(source, Options())
        rate = _cells_per_second(lambda: embed_source(source, plan.embedder, _drop), source)
        random = [_control(plan, seed + i) for i in range(5)]

    lexicell.tl.explain(adata, _LABELS, seed=seed, listener=ignore)
    _console.note("comparing with controls and drawing")
    accuracy = {
        "lexicell": knn_accuracy(vectors, labels, seed=seed),
        "PCA50 of expression": knn_accuracy(components, labels, seed=seed),
        "random gene vectors": float(np.mean([knn_accuracy(z, labels, seed=seed) for z in random])),
        "largest type": float(np.unique(labels, return_counts=True)[1].max() / len(labels)),
    }
    adata.obsm["X_umap"], _ = umap_of_vectors(vectors, seed)
    picture, cells = folder / "demo.png", folder / "demo.h5ad"
    lexicell.pl.embedding(
        adata,
        "umap",
        color=_LABELS,
        title="700 blood cells, embedded through the texts of their genes",
        note=f"recipe {plan.recipe.name}, lexicon {plan.cells.lexicon.name}; 10x PBMC 68k subset of scanpy",
        show=False,
        save=picture,
    )
    genes = folder / "contributions.png"
    title = "Genes that put the types where they are"
    lexicell.pl.contributions(adata, n_genes=4, title=title, show=False, save=genes)
    adata.write_h5ad(cells)
    _console.note("writing a page about all of it")
    page = lexicell.report(
        cells, folder / "report.html", group=_LABELS, text=list(_ASKED), basis="X_umap", seed=seed,
        title="700 blood cells", overwrite=True, listener=ignore,
    )  # fmt: skip
    contributed = adata.uns["lexicell_explain"]["contributions"].groupby("group", sort=False).head(5)
    return {
        **named,
        "accuracy_across_panels": across,
        "cells": adata.n_obs,
        "genes_described": plan.folded.table.n_genes,
        "genes": adata.n_vars,
        "recipe": plan.recipe.name,
        "accuracy_10nn": accuracy,
        "cells_per_second": rate,
        "genes_of_types": {
            str(name): rows.set_index("gene")["contribution"].to_dict()
            for name, rows in contributed.groupby("group")
        },
        "picture": str(picture),
        "contributions": str(genes),
        "embedded": str(cells),
        "report": str(page.output),
    }


def _name(
    adata: AnnData, labels: NDArray[np.str_], components: NDArray[np.float32], seed: int
) -> dict[str, Any]:
    """Name the cells by sentences that come with the package, and as well by controls."""
    import numpy as np

    import lexicell
    from lexicell.embedding.events import ignore
    from lexicell.words import shipped_types

    truth = np.array([_TYPES.get(label, "T cell") for label in labels], object)
    kinds = shipped_types([*_TYPES.values(), "T cell", _ABSENT])
    found = lexicell.annotate(adata, describe=kinds, seed=seed, listener=ignore)
    adata.obs["lexicell_label"] = found.cells["label"].array
    names, sentences = [kind.name for kind in kinds], [kind.sentence for kind in kinds]
    others = dict(zip(names, [*sentences[1:], sentences[0]], strict=True))
    swapped = lexicell.annotate(adata, describe=others, seed=seed, listener=ignore)
    rng = np.random.default_rng(seed)
    one_each = []
    for _ in range(10):
        shown = np.array([rng.choice(np.flatnonzero(truth == kind)) for kind in np.unique(truth)])
        distance = ((components[:, None] - components[shown]) ** 2).sum(axis=2)
        hidden = np.setdiff1d(np.arange(len(truth)), shown)
        one_each.append(float((truth[shown][distance.argmin(axis=1)] == truth)[hidden].mean()))

    def right(annotation: Any) -> float:
        return float((annotation.cells["label"].astype(str).to_numpy() == truth).mean())

    genes = found.genes
    assert genes is not None and found.types is not None  # noqa: S101, PT018 -- named by sentences
    return {
        "accuracy_of_names": {
            "sentences, no label": right(found),
            "one labelled cell of each type, by expression": float(np.mean(one_each)),
            "sentences under other types' names": right(swapped),
        },
        "types": {
            kind: {
                "present": bool(found.types.loc[kind, "present"]),
                "cells": int((found.cells["label"] == kind).sum()),
                "genes": list(genes[genes["type"] == kind]["gene"][:5]),
            }
            for kind in names
        },
    }


def _name_across(adata: AnnData, labels: NDArray[np.str_], seed: int) -> dict[str, float]:
    """Name one half of the cells, in one half of the genes, by the other half of both."""
    import numpy as np

    import lexicell
    from lexicell.embedding.events import ignore

    truth = np.array([_TYPES.get(label, "T cell") for label in labels], object)
    rng = np.random.default_rng(seed)
    cells, genes = rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)
    halves = adata.n_obs // 2, adata.n_vars // 2
    bare = adata[:, genes].copy()
    bare.obs["type"] = truth
    reference = bare[cells[: halves[0]], : halves[1]].copy()
    query = bare[cells[halves[0] :], halves[1] :].copy()
    shuffled = reference.copy()
    shuffled.var_names = rng.permutation(reference.var_names.to_numpy())
    right = {}
    for name, labelled, atlas in (
        ("texts and a gene atlas", reference, "bundled"),
        ("texts alone", reference, "none"),
        ("texts and a gene atlas, names of genes shuffled", shuffled, "bundled"),
    ):
        found = lexicell.annotate(
            query, reference=labelled, label="type", atlas=atlas, threshold=0, seed=seed, listener=ignore
        )
        named = found.cells["label"].astype(str).to_numpy()
        right[name] = float((named == truth[cells[halves[0] :]]).mean())
    return right


def _drop(vectors: NDArray[np.float32]) -> None:
    """Take vectors and forget them: for timing."""


def _control(plan: Any, seed: int) -> NDArray[np.float32]:
    from dataclasses import replace

    from lexicell.embedding import embed_in_memory
    from lexicell.evaluation import control_vectors

    table = plan.folded.table
    vectors = control_vectors(table.vectors, "random", seed=seed)
    folded = replace(plan.folded, table=replace(table, vectors=vectors))
    found: NDArray[np.float32] = embed_in_memory(plan.cells.source, replace(plan.embedder, folded=folded))[0]
    return found


def _cells_per_second(run: Any, source: Any) -> float:
    """Time a compiled run: median of five."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return float(source.n_cells / sorted(seconds)[2])


def _print(results: dict[str, Any]) -> None:
    _console.table(
        ("names for the cells, from", "right"),
        [(name, f"{value:.3f}") for name, value in results["accuracy_of_names"].items()],
    )
    _console.result("")
    _console.table(
        ("names across panels that share no gene, through", "right"),
        [(name, f"{value:.3f}") for name, value in results["accuracy_across_panels"].items()],
    )
    _console.result("")
    of_types = [
        (kind, f"{of['cells']}", ", ".join(of["genes"]) if of["present"] else "told not to be there")
        for kind, of in results["types"].items()
    ]
    _console.table(("named by a sentence", "cells", "genes that speak for it most"), of_types)
    _console.result(
        f"\n{results['cells']} cells, {results['genes_described']} of {results['genes']} genes described, "
        f"recipe {results['recipe']}\n"
    )
    rows = [(name, f"{value:.3f}") for name, value in results["accuracy_10nn"].items()]
    _console.table(("vectors", "10-NN accuracy"), rows)
    _console.result(
        "\nWithin one gene panel, expression itself tells cell types apart better than pooled texts do.\n"
        "Between panels that share no gene, texts and other cells connect them, as in the second table:\n"
        "lexicell annotate, lexicell evaluate --scenario disjoint.\n"
        if results["accuracy_10nn"]["PCA50 of expression"] > results["accuracy_10nn"]["lexicell"]
        else ""
    )
    _console.table(
        ("cell type", "genes that it has more of, and what they contribute to its place"),
        [(kind, ", ".join(f"{gene} {value:.3f}" for gene, value in genes.items()))
         for kind, genes in results["genes_of_types"].items()],
    )  # fmt: skip
    _console.result(f"\n{results['cells_per_second']:,.0f} cells/s in memory on this machine")
    _console.result(
        f"pictures: {results['picture']} and {results['contributions']}\ncells:    {results['embedded']}"
    )
    _console.result(f"report:   {results['report']} (open it in a browser)")
    _console.result(f'\nnext: lexicell search {results["embedded"]} "B cell receptor signaling"')
    _console.result("then: lexicell embed YOUR.h5ad YOUR.zarr")
