"""``lexicell.pack``: the columns of an atlas in the order of a lexicon."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lexicell.atlas import expand_inputs
from lexicell.atlas._remote import is_url
from lexicell.atlas.counts._concat import ConcatSource
from lexicell.atlas.packing import Packed, PackPlan, plan_pack, run_pack
from lexicell.atlas.store import check_output
from lexicell.embedding.events import Advanced, Listener, Note, log
from lexicell.embedding.inputs import Mode, run_mode
from lexicell.embedding.plan import DEFAULT_LEXICON
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon, align_genes

__all__ = ["Packed", "carry_out", "pack", "packing"]


def pack(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | Path,
    *,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    layer: str | None = None,
    use_raw: bool = False,
    modality: str | None = None,
    follow_links: bool = False,
    obs_columns: Sequence[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    listener: Listener = log,
) -> Packed:
    """Pack data sets into one atlas that is small and read fast.

    Parameters
    ----------
    inputs
        An ``.h5ad``, AnnData-Zarr (also by URL), MuData, 10x ``.h5`` or folder; several of these, a glob, a
        folder that holds them, or a ``.txt`` with one a line. Their rows follow one another.
    output
        ``.zarr``, a folder or a URL: an AnnData-Zarr v3. ``X`` (``[N, v]``) is CSR and has all columns of all
        inputs, those that the lexicon describes first and in its order; values are uint16 where that loses
        nothing, else int32, int64, float32 or float64; columns are uint16, or int32 beyond 65,536. Zeros that
        an input stores are left out, and values of one cell and gene are added up. ``obs`` has `obs_columns`,
        ``var`` the columns of all inputs, ``uns["lexicell_pack"]`` where all that is from.
    lexicon
        Whose order of genes it is: bundled name or folder. Any other lexicon embeds the atlas as well.
    layer, use_raw
        Pack ``layers[layer]`` or ``.raw`` instead of ``X``.
    modality
        See `lexicell.embed`; columns that are left out there are left out here too.
    follow_links
        See `lexicell.embed`.
    obs_columns
        Columns of ``obs`` to keep, ``input`` and ``input_row`` (the data set and row of a cell) among them;
        None for all.
    resume
        Go on with an interrupted run.
    overwrite
        Replace an existing output.
    workers
        Threads; None for as many as there are CPUs.
    listener
        Is told what was understood and how far it is; by default notes go to the logger ``lexicell``.

    Returns
    -------
    Packed
        What was done.

    Raises
    ------
    InputError, OutputExistsError
        Nothing is written.
    CorruptDataError
        An input or the lexicon is damaged, or the atlas does not read back as its inputs.
    PartialError
        The output refuses; what is done can be continued.

    Examples
    --------
    >>> import lexicell
    >>> lexicell.pack("datasets/*.h5ad", "atlas.zarr")  # doctest: +SKIP
    """
    mode = run_mode(overwrite=overwrite, resume=resume)
    paths = check_paths(inputs, output, mode)
    with packing(
        paths,
        lexicon,
        layer=layer,
        use_raw=use_raw,
        modality=modality,
        follow_links=follow_links,
        obs_columns=obs_columns,
        listener=listener,
    ) as plan:
        return carry_out(plan, output, mode=mode, workers=workers, listener=listener)


def check_paths(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], output: str | Path, mode: Mode
) -> list[str]:
    """List the inputs, and check that an output of this name can be written; see `pack`."""
    if not str(output).endswith(".zarr"):
        msg = f"{output}: a packed atlas is a .zarr; give it this ending"
        raise InputError(msg)
    paths = expand_inputs([inputs] if isinstance(inputs, str | os.PathLike) else inputs)
    for path in paths:
        check_output(output, overwrite=mode == "overwrite", resume=mode == "resume", data=path)
    return paths


@contextmanager
def packing(
    paths: Sequence[str],
    lexicon: str | Lexicon,
    *,
    layer: str | None,
    use_raw: bool,
    modality: str | None,
    follow_links: bool,
    obs_columns: Sequence[str] | None,
    listener: Listener,
) -> Iterator[PackPlan]:
    """Open inputs and settle how they are packed; see `pack`."""
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    with ConcatSource(
        paths, layer=layer, use_raw=use_raw, modality=modality, follow_links=follow_links
    ) as source:
        for text in source.notes:
            listener(Note(text))
        alignment = align_genes(opened, source.var)
        listener(Note(alignment.describe()))
        last = len(opened.genes)
        order = np.argsort(np.where(alignment.rows >= 0, alignment.rows, last), kind="stable")
        yield plan_pack(
            source,
            paths,
            order,
            {"lexicon": opened.name, "identity": opened.identity},
            matrix=".raw" if use_raw else "X" if layer is None else f"layer {layer}",
            obs_columns=obs_columns,
            follow_links=follow_links,
            tell=lambda text: listener(Note(text)),
        )


def carry_out(
    plan: PackPlan, output: str | Path, *, mode: Mode, workers: int | None, listener: Listener
) -> Packed:
    """Pack as planned; see `pack`."""
    n = plan.source.n_cells
    return run_pack(
        plan,
        output if is_url(output) else Path(output),
        mode=mode,
        workers=workers,
        tick=lambda cells, decoded: listener(Advanced(cells, n, decoded)),
        tell=lambda text: listener(Note(text)),
    )
