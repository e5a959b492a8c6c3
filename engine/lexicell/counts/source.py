"""CountSource: rows of a count matrix as CSR blocks, wherever they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from lexicell.arrays import Device
    from lexicell.counts.scratch import Scratch
    from lexicell_kernels.types import CsrBlock

__all__ = ["CountSource"]


@runtime_checkable
class CountSource(Protocol):
    """Rows of a cells x genes count matrix, read block by block in bounded memory.

    Sources are context managers: leaving the block closes files and deletes temporary copies. `read` may be
    called from several threads.

    Attributes
    ----------
    label
        What messages call the source: the path, or "AnnData".
    layers
        Names of the layers that the data set has, whichever is being read.
    has_raw
        Whether the data set has a ``.raw`` matrix, whichever is being read.
    notes
        What a person should know about how the data set is read, as which columns are left out; sentences.
    picked
        ``[n_columns]`` int64 columns of the matrix as it is stored that are read, or None for all; of one
        data set.
    device
        Where the blocks lie: "cpu" for NumPy arrays, "cuda" for CuPy ones, which are read in the calling
        thread only.
    """

    label: str
    layers: tuple[str, ...]
    has_raw: bool
    notes: tuple[str, ...]
    picked: NDArray[np.int64] | None
    device: Device

    @property
    def obs(self) -> pd.DataFrame:
        """Cells, index = cell names as stored (duplicates allowed); the whole table, read at first use."""
        ...

    @property
    def obs_columns(self) -> tuple[str, ...]:
        """Names of the columns of `obs`."""
        ...

    @property
    def var(self) -> pd.DataFrame:
        """Columns of the matrix, index = gene names as stored (duplicates allowed)."""
        ...

    @property
    def n_cells(self) -> int:
        """Number of rows of the matrix."""
        ...

    @property
    def n_columns(self) -> int:
        """Number of columns of the matrix, ``v``."""
        ...

    @property
    def log_base(self) -> float | None:
        """Base of the logarithm that the file says was taken (``uns["log1p"]``); None if it says nothing."""
        ...

    @property
    def others(self) -> Mapping[str, Callable[[], CountSource]]:
        """What opens each other matrix of the data set for a look, before this source is closed.

        By the option that reads it: "--layer counts", "--use-raw".
        """
        ...

    def spans(self, max_nnz: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Cut rows ``start:stop``, by default all, into consecutive spans of about `max_nnz` stored values.

        A span ``(first, last)`` holds at least one row, however long.
        """
        ...

    def peek(self, max_cells: int) -> Iterator[tuple[int, int]]:
        """Row ranges to look at before reading all: cheap ones, spread out where that is cheap.

        At most `max_cells` rows together; ascending and disjoint.
        """
        ...

    def read(self, start: int, stop: int, scratch: Scratch | None = None) -> CsrBlock:
        """Rows ``start:stop``; cheapest in the order of `spans`. Values are not altered.

        The arrays may be views of the caller's own matrix or of a cache: never write into them. With
        `scratch`, the buffers of the calling thread, they may be views of those, and are good until the
        next read with the same buffers.
        """
        ...

    def names(self, start: int, stop: int) -> pd.Index[Any]:
        """Names of the cells ``start:stop`` as str (duplicates allowed); asking for one is cheap."""
        ...

    def read_obs(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """Some columns of the cells ``start:stop``, index = `names`; InputError where one cannot be stored.

        Types are the same for all rows, none included: a categorical column has all categories of the data
        set; text is of type object where no value of it is missing, and ``StringDtype`` where some may be.
        """
        ...

    def read_obsm(self, name: str, start: int, stop: int) -> NDArray[np.float64]:
        """Rows ``start:stop`` of an array of ``obsm``, ``[stop - start, w]``, as coordinates of cells.

        InputError where there is none of this name, or it is no array of numbers.
        """
        ...

    def close(self) -> None:
        """Release files and temporary space."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
