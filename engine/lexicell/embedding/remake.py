"""How the vectors of a run are made again: its options, from what the run wrote down of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.embedding.default_projection import default_projection
from lexicell.embedding.events import Event, Listener
from lexicell.embedding.plan import Options, Plan, make_plan
from lexicell.embedding.recipe import Recipe
from lexicell.errors import InputError
from lexicell.lexicon import GeneList, Lexicon
from lexicell.projection import Projection
from lexicell_kernels import Weight

if TYPE_CHECKING:
    from pathlib import Path

    from lexicell.counts import CountSource

__all__ = ["check_facts", "check_lexicon", "is_imported", "remake_plan"]


def is_imported(facts: Mapping[str, Any]) -> bool:
    """Whether vectors are of another model, which `lexicell.import_embedding` has stored."""
    return "imported" in facts


def check_facts(facts: Any, label: str) -> Mapping[str, Any]:
    """Return what a run says of itself, or raise InputError where that is not what one writes."""
    try:
        if not is_imported(facts):
            {name: str(facts[name]) for name in ("recipe", "weight", "values", "projection", "normalise")}
            {name: str(facts["lexicon"][name]) for name in ("name", "identity")}
            {name: str(facts["genes"][name]) for name in ("column", "organism", "mask")}
            {name: int(facts["genes"][name]) for name in ("genes", "columns", "matched_columns")}
            int(facts["top_k"]), int(facts["input"]["cells"]), str(facts["input"]["names"])
            Weight(str(facts["weight"]))
    except (KeyError, TypeError, ValueError) as error:
        msg = (
            f"{label} does not say how its vectors were made (uns['lexicell']); `lexicell embed` writes that"
        )
        raise InputError(msg) from error
    found: Mapping[str, Any] = facts
    return found


def check_lexicon(facts: Mapping[str, Any], lexicon: Lexicon, label: str) -> None:
    """Raise InputError unless `lexicon` is the one that the vectors of `label` were made with."""
    used = facts["lexicon"]
    if str(used["identity"]) != lexicon.identity:
        msg = f"{label} was made with another lexicon, {used['name']}, than {lexicon.name} (--lexicon)"
        raise InputError(msg)


def remake_plan(
    source: CountSource,
    facts: Mapping[str, Any],
    label: str,
    listener: Listener,
    *,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    projection: Projection | str | Path | None = None,
    genes: GeneList | None = None,
) -> tuple[Plan, str | None]:
    """Plan the same vectors for cells of the same data set.

    Parameters
    ----------
    source
        Cells that the run had, or some of them.
    facts
        ``uns["lexicell"]`` of a store.
    label
        What messages call it.
    listener
        Is told how the data were understood.
    lexicon, projection, genes
        What a run only keeps the identity of, see `lexicell.embed`.

    Returns
    -------
    tuple
        The plan, and the column of ``var`` that the run was told to read genes from; None where it found out.

    Raises
    ------
    InputError
        The run used another lexicon, a projection or a list of genes that is not given, or another one.
    CountsError, CoverageError, CorruptDataError
        See `lexicell.embedding.make_plan`.
    """
    options = _options(facts, label, lexicon, projection, genes)
    told: list[Event] = []
    named = None
    plan = make_plan(source, options, told.append)
    used = facts["genes"]
    if [plan.provenance()["genes"][name] for name in ("genes", "matched_columns")] != [
        int(used["genes"]), int(used["matched_columns"])
    ]:  # fmt: skip
        # The column was named: where it is found out, what it does not match is looked for in others too.
        told.clear()
        named = str(used["column"])
        plan = make_plan(source, replace(options, gene_column=named), told.append)
    for event in told:
        listener(event)
    return plan, named


def _options(
    facts: Mapping[str, Any],
    label: str,
    lexicon: str | Lexicon,
    projection: Projection | str | Path | None,
    genes: GeneList | None,
) -> Options:
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    check_lexicon(facts, opened, label)
    made = str(facts["projection"])
    if not isinstance(projection, Projection | None):
        projection = Projection.load(projection)
    if projection is not None and projection.identity != made:
        msg = f"{label} was not made with the projection {projection.name}, but with another"
        raise InputError(msg)
    is_refined = projection is None and made != "none"
    if is_refined and default_projection(opened).identity != made:
        name = facts.get("projection_card", {}).get("name", "")
        msg = (
            f"{label} was made with a trained projection{name and ' '}{name}; name its folder (--projection)"
        )
        raise InputError(msg)
    read = facts["genes"]
    if "list" in read and genes is None:
        msg = f"{label} was made with a list of genes; name it (--genes)"
        raise InputError(msg)
    masks = [mask for mask in str(read["mask"]).split(",") if mask not in {"none", "projection"}]
    recipe = Recipe(
        str(facts["recipe"]),
        int(facts["top_k"]) or None,
        Weight(str(facts["weight"])),
        normalise=bool(facts["normalise"]),
        source=f"that of {label}",
        refine=is_refined,
    )
    return Options(
        lexicon=opened, projection=projection, recipe=recipe, values=str(facts["values"]),
        organism=str(read["organism"]), min_coverage=None, mask_genes=masks, genes=genes,
    )  # fmt: skip
