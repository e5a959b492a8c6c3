"""What decides the bytes of a store, and how a run goes on with the table and rounding that it began with.

A gene table is a product of matrices, so its last bits depend on the CPU and on the library that multiplies,
and so do a cell's. A store has one version of both: the table is kept with the unfinished run, and what a few
cells become is compared on each machine that makes shards of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from lexicell.counts import fingerprint
from lexicell.embedding.fold import FoldedTable
from lexicell.embedding.pipeline import BlockEmbedder
from lexicell.errors import InputError
from lexicell.store import Begun, Layout, begun, check_identity
from lexicell_kernels import CsrBlock

if TYPE_CHECKING:
    from lexicell.embedding.inputs import Inputs, Output
    from lexicell.embedding.plan import Plan

__all__ = ["Arithmetic", "RunSettings", "about_inputs", "settle"]

#: Of what is written; a store of another number is not continued.
_FORMAT = 2


@dataclass(frozen=True)
class Arithmetic:
    """A few cells of the input, and the hash of what they become where all shards are to be made alike.

    Attributes
    ----------
    cells
        As they are stored.
    expected
        See `BlockEmbedder.digest`.
    """

    cells: CsrBlock
    expected: str

    def check(self, embedder: BlockEmbedder, who: str, what_to_do: str) -> None:
        """Raise InputError where the cells become something else here."""
        if embedder.digest(self.cells) != self.expected:
            msg = (
                f"{who} rounds otherwise than where the run began (another CPU or GPU, or other versions of "
                f"NumPy and Numba), and the cells of a store are to be rounded alike; {what_to_do}"
            )
            raise InputError(msg)


@dataclass(frozen=True)
class RunSettings:
    """A run, settled.

    Attributes
    ----------
    identity
        JSON: everything that decides the bytes of the store; a run with another one is another run.
    embedder
        What makes the vectors, with the table that the run began with.
    arithmetic
        What other machines that make shards compare; None for a store of one shard.
    table
        Kept with the unfinished run; None where that has it, or needs none.
    """

    identity: dict[str, Any]
    embedder: BlockEmbedder
    arithmetic: Arithmetic | None = None
    table: bytes | None = None


def settle(plan: Plan, output: Output, inputs: Inputs | None, layout: Layout) -> RunSettings:
    """Settle what identifies a run to a ``.zarr``, and with which table it is made.

    Parameters
    ----------
    plan, output, inputs
        See `lexicell.embedding.run.run_to_store`.
    layout
        How the store is cut. Nothing can be mixed in one shard, so a table belongs to more than one.

    Raises
    ------
    InputError
        The run that is to go on was begun with something else, which is named, or on a machine that computes
        otherwise; or its table is lost.
    """
    chosen = _chosen(plan, output, inputs)
    earlier = begun(output.path) if output.mode == "resume" else None
    if earlier is not None:
        return _continue(plan, earlier, chosen, layout, str(output.path))
    if layout.n_shards < 2 or inputs is None:
        return RunSettings(chosen, plan.embedder)
    probe = plan.cells.probe
    arithmetic = Arithmetic(probe, plan.embedder.digest(probe))
    computed = {"table": plan.folded.digest, "arithmetic": arithmetic.expected}
    return RunSettings(chosen | computed, plan.embedder, arithmetic, plan.folded.vectors_as_bytes())


def _continue(plan: Plan, earlier: Begun, chosen: dict[str, Any], layout: Layout, path: str) -> RunSettings:
    """Settle a run that goes on, with what an earlier one computed."""
    before = earlier.identity
    if before.get("format") != _FORMAT:
        msg = (
            f"{path} was begun by a lexicell that writes stores of format {before.get('format')}, and this "
            f"one writes format {_FORMAT}; go on with that one, or start over with --overwrite"
        )
        raise InputError(msg)
    computed: dict[str, Any] = {name: before[name] for name in ("table", "arithmetic") if name in before}
    if plan.refined:
        computed["projection"] = before.get("projection")
    identity = chosen | computed
    check_identity(path, before, identity | {"layout": asdict(layout)})
    if not earlier.pending or "table" not in computed:
        return RunSettings(identity, plan.embedder)
    embedder = replace(plan.embedder, folded=_table_of(earlier, plan.folded, path))
    arithmetic = Arithmetic(plan.cells.probe, computed["arithmetic"])
    arithmetic.check(embedder, f"{path}: this machine", "go on there, or start over with --overwrite")
    return RunSettings(identity, embedder, arithmetic)


def _table_of(earlier: Begun, folded: FoldedTable, path: str) -> FoldedTable:
    """The table of a run that goes on: what was computed here if it is the same, or what was kept."""
    if folded.digest == earlier.identity["table"]:
        return folded
    kept = None if earlier.table is None else folded.with_vectors(earlier.table)
    if kept is None or kept.digest != earlier.identity["table"]:
        lost = "not there" if earlier.table is None else "damaged"
        msg = (
            f"{path}: the gene table comes out otherwise here than where the run began, and the one kept "
            f"with the run is {lost}; go on where it began, or start over with --overwrite"
        )
        raise InputError(msg)
    return kept


def _chosen(plan: Plan, output: Output, inputs: Inputs | None) -> dict[str, Any]:
    """What a user chose, and what it was applied to."""
    provenance = plan.provenance()
    provenance.pop("projection_card", None)  # what people say of it; its numbers are in its identity
    identity: dict[str, Any] = {
        "format": _FORMAT,
        **provenance,
        "dtype": output.dtype,
        "obs_columns": list(output.obs_columns),
    }
    identity["input"] |= about_inputs(inputs)
    return identity


def about_inputs(inputs: Inputs | None) -> dict[str, Any]:
    """Which matrix of which files is read, as plain JSON; nothing of what is in memory only."""
    if inputs is None:
        return {}
    return {
        "matrix": ".raw" if inputs.use_raw else "X" if inputs.layer is None else inputs.layer,
        **({} if inputs.modality is None else {"modality": inputs.modality}),
        **asdict(fingerprint(inputs.paths, follow_links=inputs.follow_links)),
    }
