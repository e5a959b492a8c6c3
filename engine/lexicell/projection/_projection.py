"""Projection: a learned map from a gene's text to a row of the table, and what is done to cells after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lexicell.errors import InputError
from lexicell.projection._checks import floats, put, same
from lexicell.projection._classifier import Classifier
from lexicell.projection._parts import HeadLayer, Pooling, Residual
from lexicell.projection._saving import ARRAYS, identity_of, read_parts, write_parts

__all__ = ["GeneVectors", "Projection"]

#: Rows of a lexicon that are projected together, always the same ones; see `Projection.table_rows`.
_GROUP = 1_024
#: Hex digits of an identity in a message.
_SHORT = 12


class GeneVectors(Protocol):
    """What a projection needs of a lexicon; see `lexicell.Lexicon`."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def identity(self) -> str:
        """Hash over everything that it consists of."""
        ...

    @property
    def n_genes(self) -> int:
        """Number of rows ``G``."""
        ...

    @property
    def dim(self) -> int:
        """Length ``d`` of a vector."""
        ...

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Vectors ``[n, d]`` of rows ``[n]``."""
        ...


@dataclass(frozen=True, eq=False)
class Projection:
    """``z = normalise(head(sum_g w_g T_g / sum_g w_g + b))`` with ``T_g = a_g (W e_g + c + r_g)``.

    ``e_g`` is the vector of gene g in the lexicon, ``w_g`` its weight in the cell. ``T`` is folded into the
    gene table before the first cell is read, so all but the head costs nothing per cell. Shapes: ``d``
    dimensions and ``G`` genes of the lexicon, ``p`` dimensions of the table.

    Attributes
    ----------
    weight
        ``W``, ``[p, d]`` float32.
    bias
        ``b``, ``[p]`` float32, or None for 0.
    gene_scale
        ``a``, ``[G]`` float32 by lexicon row, or None for 1.
    offset
        ``c``, ``[p]`` float32, or None for 0; what is left of centring (``-W mean``).
    residual
        ``r``, of single genes, or None for 0.
    rank_factor
        ``[G]`` float32 > 0: what counts are multiplied with to select genes, or None for 1.
    masked
        ``[G]`` bool: genes that are never used, or None.
    head
        Layers after pooling and bias, before vectors are scaled to length 1.
    pooling
        How cells are pooled, as they were to learn it; None where that is up to the user.
    classifier
        Names classes of the finished vectors, or None.
    lexicon
        Identity of the lexicon that it was learned on, the only one that it is used with; None for any of
        these dimensions.
    card
        What people should know of it, as plain JSON; ``name``, ``label`` and ``data`` are shown by a plan,
        and ``lexicon`` is the lexicon's name. No part of the identity.

    Raises
    ------
    InputError
        Something is not finite, or shapes do not fit each other; the message names the part.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None
    gene_scale: NDArray[np.float32] | None = None
    offset: NDArray[np.float32] | None = None
    residual: Residual | None = None
    rank_factor: NDArray[np.float32] | None = None
    masked: NDArray[np.bool_] | None = None
    head: tuple[HeadLayer, ...] = ()
    pooling: Pooling | None = None
    classifier: Classifier | None = None
    lexicon: str | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put(self, weight=floats("weight", self.weight, 2), head=tuple(self.head))
        for name in ("bias", "gene_scale", "offset", "rank_factor"):
            if (part := getattr(self, name)) is not None:
                put(self, **{name: floats(name, part, 1)})
        if self.rank_factor is not None and not (self.rank_factor > 0).all():
            msg = "the projection's rank_factor must be larger than 0; leave genes out by masking them"
            raise InputError(msg)
        if self.masked is not None:
            masked = np.asarray(self.masked)
            if masked.dtype != np.bool_ or masked.ndim != 1:
                msg = f"the projection's masked is a list of bool, not {masked.dtype} {list(masked.shape)}"
                raise InputError(msg)
            put(self, masked=np.ascontiguousarray(masked))
        for name, value, kind in (("card", self.card, Mapping), ("lexicon", self.lexicon or "", str)):
            if not isinstance(value, kind):
                msg = f"the projection's {name} is a {kind.__name__}, not {type(value).__name__}"
                raise InputError(msg)
        self._check_shapes()

    def _check_shapes(self) -> None:
        p = len(self.weight)
        if self.bias is not None:
            same("bias", len(self.bias), "weight", p)
        if self.offset is not None:
            same("offset", len(self.offset), "weight", p)
        if self.residual is not None:
            same("residual's basis", self.residual.basis.shape[1], "weight", p)
        for layer in self.head:
            same("head", layer.weight.shape[1], "vector before it", p)
            p = len(layer.weight)
        if self.classifier is not None:
            same("classifier's weight", self.classifier.weight.shape[1], "vector", p)
        genes = {name: len(part) for name, part in self._by_gene.items()}
        for name, n in genes.items():
            reference = next(iter(genes))
            same(name, n, reference, genes[reference])

    @property
    def _by_gene(self) -> dict[str, NDArray[Any]]:
        """Parts with one number for each gene of the lexicon."""
        parts = {name: getattr(self, name) for name in ("gene_scale", "rank_factor", "masked")}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, C-contiguous, in the order of their names."""
        arrays: dict[str, NDArray[Any] | None] = {
            stored: getattr(self, name) for name, stored in ARRAYS.items()
        }
        if self.residual is not None:
            for name in ("rows", "coefficients", "basis"):
                arrays[f"residual.{name}"] = getattr(self.residual, name)
        for i, layer in enumerate(self.head):
            arrays |= {f"head.{i}.weight": layer.weight, f"head.{i}.bias": layer.bias}
        if self.classifier is not None:
            arrays["classifier.weight"] = self.classifier.weight
            arrays["classifier.bias"] = self.classifier.bias
        return {name: part for name, part in sorted(arrays.items()) if part is not None}

    @property
    def settings(self) -> dict[str, Any]:
        """All that is no array and decides results, as plain JSON."""
        classifier = self.classifier
        return {
            "lexicon": self.lexicon,
            "pooling": None if self.pooling is None else asdict(self.pooling),
            "features": None,  # older versions had kernels of landmark genes
            "head": [layer.activation for layer in self.head],
            "classifier": None
            if classifier is None
            else {
                "classes": list(classifier.classes),
                "temperature": classifier.temperature,
                "threshold": classifier.threshold,
            },
        }

    @property
    def identity(self) -> str:
        """BLAKE3 of all its numbers and settings, as hex; not of the card."""
        return identity_of(self.tensors, self.settings)

    @property
    def name(self) -> str:
        """What people call it: the card's name, or the first digits of the identity."""
        return str(self.card.get("name") or self.identity[:_SHORT])

    @property
    def dim(self) -> int:
        """Output dimensions, after the head."""
        return len(self.head[-1].weight if self.head else self.weight)

    def check_lexicon(self, lexicon: GeneVectors) -> None:
        """See that it can be used with a lexicon.

        Raises
        ------
        InputError
            It was learned on another lexicon; the message names both.
        """
        if self.lexicon is not None and self.lexicon != lexicon.identity:
            trained = f"{self.card['lexicon']} " if self.card.get("lexicon") else ""
            msg = (
                f"the projection was learned on the lexicon {trained}({self.lexicon[:_SHORT]}) and "
                f"{lexicon.name} is another ({lexicon.identity[:_SHORT]}); use the lexicon it was learned on"
            )
            raise InputError(msg)
        self._check_dim(lexicon.dim)
        for name, part in self._by_gene.items():
            if len(part) != lexicon.n_genes:
                verb = "weighs" if name == "gene_scale" else f"has a {name} for"
                msg = (
                    f"the projection {verb} {len(part):,} genes and {lexicon.name} has {lexicon.n_genes:,}; "
                    "use the lexicon it was learned on"
                )
                raise InputError(msg)
        highest = 0 if self.residual is None else int(self.residual.rows.max(initial=0))
        if highest >= lexicon.n_genes:
            msg = (
                f"the projection names the gene of row {highest:,} and {lexicon.name} has "
                f"{lexicon.n_genes:,} genes; use the lexicon it was learned on"
            )
            raise InputError(msg)

    def _check_dim(self, dim: int) -> None:
        expected = self.weight.shape[1]
        if dim != expected:
            msg = (
                f"the projection expects vectors of {expected} dimensions "
                f"and the lexicon has {dim}; use the lexicon it was learned on"
            )
            raise InputError(msg)

    def apply(self, vectors: NDArray[np.float32], rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Make rows ``T`` of a table from vectors that are at hand, lexicon or not.

        Parameters
        ----------
        vectors
            ``[m, d]`` float32 of some genes.
        rows
            ``[m]`` lexicon rows of the genes.

        Returns
        -------
        numpy.ndarray
            float32 ``[m, p]``, before bias and head. Its last bits may depend on which genes are requested
            together: BLAS rounds otherwise in a matrix of another shape. See `table_rows`.

        Raises
        ------
        InputError
            The vectors have other dimensions.
        """
        self._check_dim(vectors.shape[1])
        table: NDArray[np.float32] = vectors @ self.weight.T
        if self.offset is not None:
            table += self.offset
        if self.residual is not None:
            self.residual.add_to(table, rows)
        if self.gene_scale is not None:
            table *= self.gene_scale[rows, None]
        return table

    def table_rows(self, lexicon: GeneVectors, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Make rows ``T`` of a table for genes of a lexicon.

        Genes are projected in groups of neighbours in the lexicon, always the same ones, so that all products
        have the same shape and content: a gene's row has the same bits whichever others are requested. That
        holds for one machine and version of NumPy; elsewhere BLAS may round the last bit otherwise.

        Parameters
        ----------
        lexicon
            Where the vectors are from.
        rows
            ``[m]`` lexicon rows, in any order.

        Returns
        -------
        numpy.ndarray
            float32 ``[m, p]``, before bias and head.

        Raises
        ------
        InputError
            The projection is for another lexicon; see `check_lexicon`.
        """
        self.check_lexicon(lexicon)
        table = np.empty((len(rows), len(self.weight)), np.float32)
        group = np.asarray(rows) // _GROUP
        for number in np.unique(group):
            start = int(number) * _GROUP
            genes = np.arange(start, min(start + _GROUP, lexicon.n_genes))
            block = self.apply(lexicon.vectors(genes), genes)
            positions = np.flatnonzero(group == number)
            table[positions] = block[rows[positions] - start]
        return table

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write a folder, completely or not at all.

        Parameters
        ----------
        folder
            To create: ``projection.safetensors`` with all numbers, and ``projection.json`` with settings,
            card and hashes.
        overwrite
            Whether to replace a projection that lies there. Any other folder is never replaced.

        Returns
        -------
        pathlib.Path
            The folder. Equal projections with equal cards give equal bytes.

        Raises
        ------
        OutputExistsError
            The folder exists and is not to be replaced.
        InputError
            The card is not plain JSON.
        WriteError
            The disk is full, or the folder may not be written to.
        """
        return write_parts(Path(folder), self.tensors, self.settings, self.card, overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> Projection:
        """Read and check what `save` has written.

        Raises
        ------
        InputNotFoundError
            There is no projection.
        InputError
            It was written by a newer version of this package.
        CorruptDataError
            A file is missing, truncated or changed.
        """
        return read_parts(Path(folder), cls)
