"""`open_counts`: which reader a path or an object needs."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexicell.containers.faults import Where, is_unknown, reading
from lexicell.containers.remote import is_url, open_store
from lexicell.counts.anndata import open_stored
from lexicell.counts.modality import RNA, choose_modality, kind_of, usual_modality
from lexicell.counts.mtx import find_mtx, open_mtx
from lexicell.counts.tenx import genomes_of, open_tenx, refuse_parts
from lexicell.counts.zarr_reader import keys_of
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from zarr.abc.store import Store

    from lexicell.counts.dataset import RowsSource
    from lexicell.counts.source import CountSource

__all__ = ["hdf5_root", "is_mudata", "open_counts", "zarr_root"]

_FORMATS = (
    "give an .h5ad, an .h5mu, an AnnData-Zarr folder, a 10x .h5, "
    "or a folder with matrix.mtx, barcodes.tsv and features.tsv"
)
#: What is a file and no store, by its name.
_FILES = (".h5ad", ".h5mu", ".h5", ".hdf5", ".loom", ".mtx", ".mtx.gz")
#: HDF5's own chunk cache is 1 MiB, less than one chunk of many files, each of which would then be
#: decompressed again for every slice that touches it.
_HDF5_CACHE_BYTES = 32 << 20


def open_counts(
    data: str | os.PathLike[str] | AnnData,
    *,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
) -> CountSource:
    """Open a count matrix for reading by rows.

    Parameters
    ----------
    data
        Path of an ``.h5ad``, an AnnData-Zarr v2 or v3 folder, a MuData of either kind (``.h5mu``), a 10x
        ``.h5`` (Cell Ranger v2 or v3), the ``.mtx`` of Cell Ranger, STARsolo, kallisto | bustools, alevin-fry
        or Parse, or its folder; URL of an AnnData-Zarr; or an AnnData (in memory, backed, a view, or with a
        Dask array as X).
    layer
        Read ``layers[layer]`` instead of ``X``.
    use_raw
        Read ``.raw`` instead of ``X``; its genes are then ``var``.
    modality
        Modality of a MuData to read, or type of feature in a single matrix, in any case ("rna", "Gene
        Expression"). None for gene expression; a MuData is then refused.
    follow_links
        Read what an HDF5 file says lies in other files too: external links, external storage, virtual
        datasets. Without it they are refused, since a file of a stranger could name any file.

    Returns
    -------
    A context manager with ``n_cells`` rows and ``n_columns`` columns, neither 0. Columns of other types of
    features (antibodies, guides, hashtags, peaks) are left out, as if there were none; ``notes`` lists them.

    Raises
    ------
    InputNotFoundError
        The path does not exist, or nothing lies at the URL.
    InputError
        This is no count matrix, it has no such layer or modality, it is stored in a way that is not known
        here or in other files, or its server refuses or does not answer.
    MissingExtraError
        What reads URLs is not installed.
    CorruptDataError
        A file is truncated or damaged. Damage that only shows in the values is raised by ``read``.
    """
    on_disk = isinstance(data, (str, os.PathLike))
    with reading(Where(os.fspath(data), "what it holds")) if on_disk else nullcontext():
        source, settled = _open(data, layer, modality, use_raw=use_raw, follow_links=follow_links)
        try:
            if not settled:
                source.keep_modality(modality)
        except BaseException:
            source.close()
            raise
    return source


def is_mudata(path: str | os.PathLike[str]) -> bool:
    """Whether an HDF5 file is a MuData, whatever its name."""
    if not os.path.isfile(path):  # noqa: PTH113 -- Path.is_file raises for names that no file can have
        return False
    import h5py

    from lexicell.containers.h5watch import Watched

    label = os.fspath(path)
    with closing(Watched(label)), reading(Where(label, "the HDF5 file")):
        if not h5py.is_hdf5(path):
            return False
        with h5py.File(path, "r") as root:
            return bool(root.id.links.exists(b"mod"))


def _open(
    data: Any, layer: str | None, modality: str | None, *, use_raw: bool, follow_links: bool
) -> tuple[RowsSource, bool]:
    """Open a matrix with all its columns, and say whether all of these were requested."""
    if not isinstance(data, (str, os.PathLike)):
        return _open_object(data, layer=layer, use_raw=use_raw), False
    if isinstance(data, str) and is_url(data):
        return _open_url(data, layer, modality, use_raw=use_raw)
    path = Path(data)
    label = str(path)
    if not os.path.exists(path):  # noqa: PTH110 -- Path.exists raises for names that no file can have
        msg = f"{label}: no such file or folder; check the path"
        raise InputNotFoundError(msg)
    if path.is_dir():
        return _open_folder(path, label, layer, modality, use_raw=use_raw)
    if not path.is_file():  # opening a pipe would wait for its writer
        msg = f"{label}: this is neither a file nor a folder; {_FORMATS}"
        raise InputError(msg)
    if path.name.endswith((".mtx", ".mtx.gz")):
        refuse_parts(label, layer, use_raw=use_raw)
        return open_mtx(path), False
    return _open_file(path, label, layer, modality, use_raw=use_raw, follow_links=follow_links)


def _open_object(data: Any, *, layer: str | None, use_raw: bool) -> RowsSource:
    from anndata import AnnData

    if not isinstance(data, AnnData):
        if hasattr(data, "mod") and hasattr(data.mod, "keys"):
            names = list(map(str, data.mod.keys()))
            usual = usual_modality(names)
            msg = f"this is a MuData of {', '.join(names) or 'nothing'}; give one of them, as .mod[{usual!r}]"
            raise InputError(msg)
        msg = f"a {type(data).__name__} is neither a path nor an AnnData; wrap a matrix in anndata.AnnData"
        raise InputError(msg)
    from lexicell.counts.memory import open_anndata

    return open_anndata(data, layer=layer, use_raw=use_raw)


def _open_folder(
    path: Path, label: str, layer: str | None, modality: str | None, *, use_raw: bool
) -> tuple[RowsSource, bool]:
    if any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray", ".zmetadata")):
        return _open_zarr(path, label, layer, modality, use_raw=use_raw)
    matrix = find_mtx(path)
    if matrix is None:
        msg = f"{label}: the folder is neither a Zarr nor has it a matrix.mtx; {_FORMATS}"
        raise InputError(msg)
    refuse_parts(label, layer, use_raw=use_raw)
    return open_mtx(matrix), False


def _open_url(url: str, layer: str | None, modality: str | None, *, use_raw: bool) -> tuple[RowsSource, bool]:
    label = url.rstrip("/")
    if label.endswith(_FILES):
        msg = f"{label}: only Zarr is read from a URL; download the file, or pack it to Zarr first"
        raise InputError(msg)
    try:
        return _open_zarr(open_store(label, read_only=True), label, layer, modality, use_raw=use_raw)
    except CorruptDataError as exc:
        if not isinstance(exc.__cause__, FileNotFoundError):
            raise
        msg = f"{label}: there is no Zarr at this URL; check bucket and key"
        raise InputNotFoundError(msg) from exc


def _open_zarr(
    store: Path | Store, label: str, layer: str | None, modality: str | None, *, use_raw: bool
) -> tuple[RowsSource, bool]:
    root, looks = zarr_root(store, label)
    if not looks:
        msg = f"{label}: this Zarr is not an AnnData; {_FORMATS}"
        raise InputError(msg)
    return _open_anndata(root, label, layer, modality, use_raw=use_raw)


def zarr_root(store: Path | Store, label: str) -> tuple[Any, bool]:
    """Root of a Zarr, and whether it looks like an AnnData or a MuData."""
    import zarr

    from lexicell.containers.bounded import bounded

    with reading(Where(label, "the Zarr metadata")):
        try:
            root: Any = zarr.open(store, mode="r")
        except Exception as exc:
            if not is_unknown(exc):
                raise
            # Consolidated metadata are understood all or none; what is needed may be all known.
            root = zarr.open_group(store, mode="r", use_consolidated=False)
        root = bounded(root)
        return root, hasattr(root, "keys") and ("mod" in root or _is_anndata(root))


def _open_anndata(
    root: Any,
    label: str,
    layer: str | None,
    modality: str | None,
    *,
    use_raw: bool,
    on_close: Callable[[], None] | None = None,
) -> tuple[RowsSource, bool]:
    """Open a stored AnnData, or one that a stored MuData holds."""
    settled = False
    with reading(Where(label, "the table of contents")):
        if "mod" in root:
            name = choose_modality(keys_of(root["mod"]), label, modality)
            # Whatever types var states, this is the requested modality.
            root, label, settled = root["mod"][name], f"{label} ({name})", kind_of(name) != RNA
    return open_stored(root, label, layer=layer, use_raw=use_raw, on_close=on_close), settled


def _open_file(
    path: Path, label: str, layer: str | None, modality: str | None, *, use_raw: bool, follow_links: bool
) -> tuple[RowsSource, bool]:
    opened = ExitStack()
    try:
        root, kind = hdf5_root(path, label, opened, follow_links=follow_links)
        if kind == "anndata":
            return _open_anndata(root, label, layer, modality, use_raw=use_raw, on_close=opened.close)
        if kind == "10x":
            refuse_parts(label, layer, use_raw=use_raw)
            return open_tenx(root, label, on_close=opened.close), False
        msg = f"{label}: this HDF5 file is {kind}; {_FORMATS}"
        raise InputError(msg)
    except BaseException:
        opened.close()
        raise


def hdf5_root(path: Path, label: str, opened: ExitStack, *, follow_links: bool) -> tuple[Any, str]:
    """Root of an HDF5 file, which `opened` closes, and what it looks like: see `_kind_of`."""
    if not os.access(path, os.R_OK):
        msg = f"{label}: no permission to read the file; change its mode or its owner"
        raise InputError(msg)
    import h5py

    from lexicell.containers.h5group import OwnGroup
    from lexicell.containers.h5watch import Watched

    opened.enter_context(closing(Watched(label)))
    with reading(Where(label, "the file")):
        is_hdf5 = h5py.is_hdf5(path)
    if not is_hdf5:
        if path.suffix in (".h5ad", ".h5mu", ".h5", ".hdf5"):
            fault = "does not begin as HDF5 does"
            raise Where(label, "the file").corrupt(fault)
        msg = f"{label}: files of this kind are not read; {_FORMATS}"
        raise InputError(msg)
    with reading(Where(label, "the HDF5 file")):
        try:
            file = opened.enter_context(h5py.File(path, "r", rdcc_nbytes=_HDF5_CACHE_BYTES))
        except BlockingIOError as exc:
            msg = f"{label}: another process has the file open for writing; close it there"
            raise InputError(msg) from exc
    with reading(Where(label, "the table of contents")):
        root = OwnGroup(file["/"].id, label, follow_links=follow_links)
        return root, _kind_of(root)


def _kind_of(root: Any) -> str:
    if "mod" in root or _is_anndata(root):
        return "anndata"
    if ("matrix" in root and hasattr(root["matrix"], "keys") and "barcodes" in root["matrix"]) or genomes_of(
        root
    ):
        return "10x"
    if "row_attrs" in root and "col_attrs" in root:
        return "a loom file, which anndata.io.read_loom reads"
    return "neither an AnnData nor a 10x matrix"


def _is_anndata(root: Any) -> bool:
    encoding = root.attrs.get("encoding-type")
    encoding = encoding.decode() if isinstance(encoding, bytes) else encoding
    return encoding == "anndata" or ("obs" in root and "var" in root)
