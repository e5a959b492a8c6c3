"""``lexicell.pack``: the columns of an atlas in the order of a lexicon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lexicell.containers.remote import is_url
from lexicell.counts import ConcatSource, expand_inputs
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.events import Advanced, Listener, Note, log
from lexicell.embedding.inputs import run_mode
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon, align_genes
from lexicell.packing.plan import plan_pack
from lexicell.packing.run import Packed, run_pack
from lexicell.store import check_output

__all__ = ["Packed", "pack"]


def pack(
    data: str | Path | Sequence[str | Path],
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
    dry_run: bool = False,
    workers: int | None = None,
    listener: Listener = log,
) -> Packed:
    """Pack data sets into one atlas that is small and read fast.

    Parameters
    ----------
    data
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
    dry_run
        Plan the run and write nothing.
    workers
        Threads; None for as many as there are CPUs.
    listener
        Is told what was understood and how far it is; by default notes go to the logger ``lexicell``.

    Returns
    -------
    Packed
        What was done, or with `dry_run` what is planned.

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
    if not str(output).endswith(".zarr"):
        msg = f"{output}: a packed atlas is a .zarr; give it this ending"
        raise InputError(msg)
    paths = expand_inputs(data if isinstance(data, list | tuple) else [data])
    for path in paths:
        check_output(output, overwrite=mode == "overwrite", resume=dry_run or mode == "resume", data=path)
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    with ConcatSource(
        paths, layer=layer, use_raw=use_raw, modality=modality, follow_links=follow_links
    ) as source:
        for text in source.notes:
            listener(Note(text))
        alignment = align_genes(opened, source.var)
        listener(Note(alignment.describe()))
        last = len(opened.genes)
        plan = plan_pack(
            source,
            paths,
            np.argsort(np.where(alignment.rows >= 0, alignment.rows, last), kind="stable"),
            {"lexicon": opened.name, "identity": opened.identity},
            matrix=".raw" if use_raw else "X" if layer is None else f"layer {layer}",
            obs_columns=obs_columns,
            follow_links=follow_links,
            tell=lambda text: listener(Note(text)),
        )
        facts = {**plan.describe(), "output": str(output)}
        if dry_run:
            n, columns = source.n_cells, source.n_columns
            return Packed(output, n, columns, 0, str(plan.counts), 0.0, 0, 0, 0, facts)
        packed = run_pack(
            plan,
            output if is_url(output) else Path(output),
            mode=mode,
            workers=workers,
            tick=lambda cells, decoded: listener(Advanced(cells, source.n_cells, decoded)),
            tell=lambda text: listener(Note(text)),
        )
    return replace(packed, plan=facts)
