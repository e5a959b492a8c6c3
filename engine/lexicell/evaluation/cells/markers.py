"""What people use today in place of sentences: marker genes, and a few labelled cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell._files import read_utf8
from lexicell.embedding import Listener, Note
from lexicell.errors import InputError, needing
from lexicell.evaluation.cells.expression import components
from lexicell.evaluation.cells.likenesses import symbols
from lexicell.evaluation.cells.panels import Panel
from lexicell.evaluation.cells.placed import Named, Placed
from lexicell.lexicon import Lexicon, align_genes

__all__ = ["FewLabelled", "known_markers", "marker_scores", "named_by_most", "read_markers"]

_HIGHLY_VARIABLE = 2_000
#: Labelled cells of a type leave at least as many to be named.
_LEAST_LEFT = 2


def read_markers(given: Mapping[str, Sequence[str]] | str | Path) -> dict[str, tuple[str, ...]]:
    """Read marker genes of types.

    Parameters
    ----------
    given
        Genes by the names of types; or a file, gzipped or not, whose lines hold a name, a tab and genes with
        commas between them. Blank lines and lines that start with # are skipped.

    Raises
    ------
    InputError
        A line is none of these, a name occurs twice or has no gene, or there is none.
    InputNotFoundError
        The file does not exist.
    """
    where = "the markers"
    pairs: list[tuple[str, Sequence[str]]] = []
    if isinstance(given, Mapping):
        pairs += given.items()
    else:
        where = str(given)
        for number, line in enumerate(read_utf8(Path(given)).decode().splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            name, tab, genes = line.partition("\t")
            if not tab:
                msg = f"{given}, line {number}: {line[:60]!r} has no tab; write a name, a tab and GENE,GENE"
                raise InputError(msg)
            pairs.append((name, genes.split(",")))
    found: dict[str, tuple[str, ...]] = {}
    for name, listed in pairs:
        key = " ".join(name.split())
        own = () if isinstance(listed, str) else tuple(gene.strip() for gene in listed if gene.strip())
        if not own or key in found:
            fault = "occurs twice; list its genes once" if key in found else "has no gene; list some"
            msg = f"{where}: {key!r} {fault}"
            raise InputError(msg)
        found[key] = own
    if not found:
        msg = f"{where}: there are no markers; give a name and genes, or leave them out"
        raise InputError(msg)
    return found


def known_markers(
    markers: Mapping[str, Sequence[str]], types: Sequence[str], lexicon: Lexicon, listener: Listener
) -> dict[str, list[str]]:
    """Symbols of the markers of each type, in the order of `types`; none for a type without any.

    Raises
    ------
    InputError
        No type has a marker that the lexicon knows.
    """
    every = sorted({gene for name in types for gene in markers.get(name, ())})
    table = pd.DataFrame(index=pd.Index(every, dtype=object))
    rows = align_genes(lexicon, table, column="index").rows.tolist() if every else []
    row_of = {gene: row for gene, row in zip(every, rows, strict=True) if row >= 0}
    if not row_of:
        msg = (
            f"the markers have no gene that {lexicon.name} knows for any of {', '.join(types)}; they are of "
            f"{', '.join(markers)}"
        )
        raise InputError(msg)
    called = symbols(lexicon)
    found = {
        name: list(dict.fromkeys(called[row_of[gene]] for gene in markers.get(name, ()) if gene in row_of))
        for name in types
    }
    if unknown := [gene for gene in every if gene not in row_of]:
        listener(Note(f"markers that {lexicon.name} does not know: {', '.join(unknown)}", serious=True))
    if without := [name for name, genes in found.items() if not genes]:
        listener(Note(f"by markers no cell is named {', '.join(without)}: there are none", serious=True))
    return found


def marker_scores(placed: Placed, markers: Mapping[str, Sequence[str]], seed: int) -> NDArray[np.float64]:
    """``scanpy.tl.score_genes`` of each list, ``[N, T]``; 0 where none of its genes is measured."""
    scanpy: Any = import_module("scanpy")
    adata = placed.annotated()
    scores = np.zeros((adata.n_obs, len(markers)))
    for at, genes in enumerate(markers.values()):
        measured = [gene for gene in genes if gene in adata.var_names]
        if measured:
            scanpy.tl.score_genes(adata, measured, score_name="score", random_state=seed)
            scores[:, at] = adata.obs["score"]
    return scores


def named_by_most(scores: NDArray[np.float64]) -> Named:
    """Name each cell by the type whose score ``[N, T]`` is most deviations above its mean.

    Types whose score never varies are not chosen.
    """
    spread = np.asarray(scores.std(axis=0))
    relative = np.where(spread > 0, (scores - scores.mean(axis=0)) / np.maximum(spread, 1e-12), -np.inf)
    return Named(np.eye(scores.shape[1])[relative.argmax(axis=1)], scores, np.asarray(spread > 0, np.bool_))


class FewLabelled:
    """Cells named by n labelled ones of each type: logistic regression on components of expression.

    Parameters
    ----------
    panel
        Cells: 50 components of their 2,000 most variable genes are made once, without labels.
    labels, types
        ``[N]``, and the ``T`` that are told apart.
    """

    def __init__(self, panel: Panel, labels: NDArray[np.str_], types: Sequence[str]) -> None:
        self._labels, self._types = labels, list(types)
        (self._vectors,) = components(panel, [panel], n_genes=_HIGHLY_VARIABLE, seed=0)

    def name(self, n: int, seed: int) -> tuple[NDArray[np.intp], Named] | None:
        """Draw n cells of each type, or all but two where there are fewer, and name all cells by these.

        Returns
        -------
        tuple or None
            Numbers of the labelled cells, which are not to be judged; and what all cells are named. None
            where fewer than two types have such cells.
        """
        with needing("evaluate", "Classifying cells"):
            from sklearn.linear_model import LogisticRegression
        rng = np.random.default_rng(seed)
        drawn: list[int] = []
        for name in self._types:
            cells = np.flatnonzero(self._labels == name)
            drawn += rng.permutation(cells)[: min(n, max(len(cells) - _LEAST_LEFT, 0))].tolist()
        seen = np.array(drawn, np.intp)
        if len(np.unique(self._labels[seen])) < 2:
            return None
        model = LogisticRegression(max_iter=2_000).fit(self._vectors[seen], self._labels[seen])
        probability = np.zeros((len(self._labels), len(self._types)))
        order = [self._types.index(name) for name in model.classes_.tolist()]
        probability[:, order] = model.predict_proba(self._vectors)
        return seen, Named(probability, probability, np.isin(np.arange(len(self._types)), order))
