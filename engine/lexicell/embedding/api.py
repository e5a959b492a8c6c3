"""``lexicell.embed``, from files to a store, and ``lexicell.tl.embed``, in place on an AnnData."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from lexicell._trace import stage
from lexicell.arrays import Device
from lexicell.counts import CountSource, Values, check_writable, dask_counts, open_counts
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import Listener, Note, log
from lexicell.embedding.inputs import Output, inputs_of, open_data, run_mode
from lexicell.embedding.lazy import embed_lazily
from lexicell.embedding.main_guard import check_main_guard
from lexicell.embedding.pipeline import embed_in_memory
from lexicell.embedding.plan import Options, Plan, make_plan
from lexicell.embedding.probe import foresee
from lexicell.embedding.profile import profiled
from lexicell.embedding.recipe import Recipe
from lexicell.embedding.run import Embedded, run_to_store, tell_empty
from lexicell.errors import InputError
from lexicell.lexicon import GeneList, Lexicon
from lexicell.projection import Projection

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Embedded", "embed", "embed_anndata"]


def embed(
    data: str | Path | Sequence[str | Path] | AnnData,
    output: str | Path,
    *,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    projection: Projection | str | Path | None = None,
    recipe: str | Recipe | None = None,
    top_k: int | None = None,
    weight: str | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    values: Values | str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    min_coverage: float = 0.5,
    mask_genes: Sequence[str] = (),
    genes: GeneList | None = None,
    dtype: str = "f32",
    obs_columns: Sequence[str] = (),
    overwrite: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    workers: int | None = None,
    scheduler: str | None = None,
    profile: str | Path | None = None,
    listener: Listener = log,
) -> Embedded:
    """Embed the cells of a file into a store.

    Parameters
    ----------
    data
        An ``.h5ad``, an AnnData-Zarr (v2 or v3, here or at a URL), a MuData (``.h5mu`` or Zarr; see
        `modality`), a 10x ``.h5`` or folder; several of these, a pattern (``"atlas/*.h5ad"``), a folder that
        holds them or a ``.txt`` with one a line: one data set, whose cells follow one another. Or an AnnData,
        in memory, on a GPU or of Dask arrays, which are computed chunk by chunk.
    output
        ``.zarr``, here or at a URL: a new AnnData-Zarr v3 with ``obsm["X_lexicell"]`` (``[N, p]``), ``obs``
        (cell names, `obs_columns` and ``lexicell_n_genes`` int32, ``lexicell_coverage`` float32,
        ``lexicell_n_tied`` int32; see `lexicell_kernels.Rows`) and ``uns["lexicell"]``. ``.h5ad``: the same,
        added to a copy of the input where that is an h5ad.
    lexicon
        Bundled name or folder.
    projection
        Learned map, or the folder of one; None for what the recipe makes of the lexicon's vectors.
    recipe, top_k, weight
        What an embedding is; see `Recipe`. The recipe is "lexicell", "paper" or "genept-w", by default
        what the projection was learned with, else "lexicell"; `top_k` and `weight` replace the recipe's.
    layer, use_raw
        Read ``layers[layer]`` or ``.raw`` instead of ``X``.
    modality
        Modality of a MuData, or type of feature of a matrix with several, in any case ("rna"). By default
        columns of other types than gene expression are left out and told, and a MuData is refused.
    follow_links
        Read what an HDF5 file says lies in other files too (external links and storage, virtual datasets);
        by default that is refused. Such files count for `resume` as the input itself does.
    values
        What the matrix holds: ``"counts"``, ``"normalised"``, or what was made of either, ``"lognorm"``
        (``log1p``, the natural logarithm), ``"log2"`` and ``"log10"`` (of ``1 + x``) or ``"sqrt"``. None to
        find out; logarithms and roots are then refused.
    gene_column, organism
        Column of ``var`` with gene names, and whose genes they are; None to find out.
    min_coverage
        Least share of the counts that must lie in described genes.
    mask_genes
        Genes whose text has one of these flags, "name-only", "shared" or "placeholder", are never used.
    genes
        The only genes to use: a text file with one name a line, or names, as in the data set or as the
        lexicon knows them; unknown ones are told. The total of a cell is still that of all its counts.
    dtype
        ``"f32"`` or ``"f16"``: type of the stored vectors.
    obs_columns
        Columns of ``obs`` to keep in a ``.zarr``.
    overwrite
        Replace an existing output.
    resume
        Go on with a run to this ``.zarr`` that was interrupted, or begin it.
    dry_run
        Plan the run, try two seconds of it and write nothing.
    device
        Where to embed: ``"cpu"``, ``"cuda"`` for the current NVIDIA GPU, or ``"auto"`` for where the counts
        lie, which is a GPU only for CuPy matrices.
    workers
        Shards made at once, each in a thread, or with `scheduler` in a process; None for as many as there are
        CPUs.
    scheduler
        Address of a Dask scheduler whose workers make the shards, or ``"local"`` for processes of this
        machine; a script then does its work under ``if __name__ == "__main__":``.
    profile
        A ``.json`` that gets a trace of where the time went, by worker and stage, for chrome://tracing and
        ui.perfetto.dev; an existing one is replaced with `overwrite` or `resume`. It is also written when a
        run fails or is interrupted.
    listener
        Is told what was understood and how far it is; by default notes go to the logger ``lexicell``.

    Returns
    -------
    Embedded
        What was done, or with `dry_run` would be.

    Raises
    ------
    InputError, CountsError, CoverageError, OutputExistsError
        The input or an option can't be used, or `output` exists.
    CorruptDataError
        The input, the lexicon or the projection is damaged.
    PartialError
        The run could not go on (the disk is full, a GPU's memory too small, the cluster gone), and what is
        done can be continued with `resume`.
    WriteError, GpuMemoryError, ResourceError
        The same before anything was done; the last one also for too many open files, or too little memory.

    Notes
    -----
    A ``.zarr`` here appears under its name when it is complete; meanwhile it is ``NAME.zarr.partial``.
    Whatever ends the process, at most the shards being made are lost.

    Examples
    --------
    >>> import lexicell
    >>> lexicell.embed("pbmc.h5ad", "pbmc.zarr", top_k=128)  # doctest: +SKIP
    """
    if scheduler == "local":
        check_main_guard()
    options = Options(
        lexicon=lexicon, projection=projection, recipe=recipe, top_k=top_k, weight=weight, values=values,
        gene_column=gene_column, organism=organism, min_coverage=min_coverage, mask_genes=mask_genes,
        genes=genes, device=device,
    )  # fmt: skip
    inputs = inputs_of(data, layer, modality, use_raw=use_raw, follow_links=follow_links)
    columns = (obs_columns,) if isinstance(obs_columns, str) else tuple(obs_columns)
    made = Output(output, dtype, columns, run_mode(overwrite=overwrite, resume=resume))
    if not dry_run:
        made.check(inputs if inputs is not None else data)
    with profiled(None if dry_run else profile, replace=overwrite or resume), ExitStack() as opened:
        with stage("plan"):
            source = opened.enter_context(
                open_data(data, layer, modality, use_raw=use_raw) if inputs is None else inputs.open()
            )
            plan = make_plan(source, options, listener)
        if dry_run:
            return foresee(plan, made, inputs, workers)
        return run_to_store(plan, made, inputs, workers=workers, scheduler=scheduler, listener=listener)


def embed_anndata(
    adata: AnnData,
    *,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    projection: Projection | str | Path | None = None,
    recipe: str | Recipe | None = None,
    top_k: int | None = None,
    weight: str | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    values: Values | str | None = None,
    gene_column: str | None = None,
    organism: str | None = None,
    min_coverage: float = 0.5,
    mask_genes: Sequence[str] = (),
    genes: GeneList | None = None,
    key_added: str | None = None,
    device: str = "auto",
    on_device: bool | None = None,
    listener: Listener = log,
) -> None:
    """Embed the cells of an AnnData in place; ``lexicell.tl.embed``.

    Parameters
    ----------
    adata
        Cells x genes, counts in ``X`` (CSR, CSC, dense, or a Dask array of these), `layer` or ``.raw``. What
        ``rapids_singlecell.get.anndata_to_GPU`` has moved to a GPU is embedded there, where it lies.
    lexicon, projection, recipe, top_k, weight, layer, use_raw, modality, values
        See `lexicell.embed`.
    gene_column, organism, min_coverage, mask_genes, genes
        See `lexicell.embed`.
    key_added
        Name of what is written, by default as below.
    device
        See `lexicell.embed`.
    on_device
        Whether the vectors stay on the GPU, as CuPy array, or come back to the host; by default they are
        where the counts are.
    listener
        Is told what was understood and how far it is; by default notes go to the logger ``lexicell``.

    Returns
    -------
    None
        Writes these fields, with `key_added` in place of ``X_lexicell`` and ``lexicell`` where given:

        ``adata.obsm["X_lexicell"]`` : numpy.ndarray or cupy.ndarray (dtype float32, ``[N, p]``)
            Unit vectors, zero rows for cells without any described gene.
        ``adata.obs["lexicell_n_genes"]`` : pandas.Series (dtype int32)
            Genes used.
        ``adata.obs["lexicell_coverage"]`` : pandas.Series (dtype float32)
            Share of the cell's counts that lies in described genes.
        ``adata.obs["lexicell_n_tied"]`` : pandas.Series (dtype int32)
            Size of the tie group at the boundary.
        ``adata.uns["lexicell"]`` : dict
            Recipe, lexicon and versions.

        Counts in a Dask array are embedded when the vectors are computed; only the first chunk of rows is
        looked at before. Since ``obs`` cannot wait, the three columns are then another array in ``obsm``:

        ``adata.obsm["X_lexicell"]`` : dask.array.Array (dtype float32, ``[N, p]``)
            As above, in chunks of as many rows as the counts'.
        ``adata.obsm["lexicell_quality"]`` : dask.array.Array (dtype float32, ``[N, 3]``)
            Columns ``n_genes``, ``coverage`` and ``n_tied``.

    Raises
    ------
    InputError, CountsError, CoverageError, CorruptDataError, GpuMemoryError
        As `lexicell.embed`; `adata` is then unchanged. Of a Dask array, a bad count in a later chunk is found
        when that is computed.

    Examples
    --------
    Vectors and quality of a Dask array are made by the same tasks, so compute them together:

    >>> import dask, lexicell
    >>> lexicell.tl.embed(adata)  # doctest: +SKIP
    >>> names = ["X_lexicell", "lexicell_quality"]  # doctest: +SKIP
    >>> vectors, quality = dask.compute(*(adata.obsm[name] for name in names))  # doctest: +SKIP
    >>> adata.obs[["n_genes", "coverage", "n_tied"]] = quality  # doctest: +SKIP
    """
    options = Options(
        lexicon=lexicon, projection=projection, recipe=recipe, top_k=top_k, weight=weight, values=values,
        gene_column=gene_column, organism=organism, min_coverage=min_coverage, mask_genes=mask_genes,
        genes=genes, device=device,
    )  # fmt: skip
    prefix, key = key_added or "lexicell", key_added or "X_lexicell"
    check_writable(adata)
    with open_counts(adata, layer=layer, use_raw=use_raw, modality=modality) as source:
        plan = make_plan(source, options, listener)
        home = _home(source, plan, on_device=on_device)
        array = dask_counts(adata, layer=layer, use_raw=use_raw)
        if array is not None:
            adata.obsm[key], adata.obsm[f"{prefix}_quality"] = embed_lazily(array, plan, home, source.picked)
            listener(Note(f"the counts are a Dask array: obsm[{key!r}] is embedded when it is computed"))
        else:
            vectors, quality = embed_in_memory(source, plan.embedder, home=home, listener=listener)
            adata.obsm[key] = vectors
            for name, column in quality.columns(prefix).items():
                adata.obs[name] = column
            tell_empty(quality.n_empty, listener)
        adata.uns[prefix] = plan.provenance()


def _home(source: CountSource, plan: Plan, *, on_device: bool | None) -> Device:
    """Where the vectors of an AnnData are wanted."""
    if on_device and plan.device == "cpu":
        msg = f"{source.label}: the vectors are made on the CPU, so they stay there; give device='cuda' too"
        raise InputError(msg)
    stay = source.device == "cuda" if on_device is None else on_device
    return "cuda" if stay and plan.device == "cuda" else "cpu"
