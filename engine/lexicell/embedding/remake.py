"""How the vectors of a run are made again: its options, from what the run wrote down of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lexicell.embedding.aligned import DEFAULT_LEXICON
from lexicell.embedding.default_projection import default_projection
from lexicell.embedding.plan import Options
from lexicell.embedding.recipe import Recipe
from lexicell.errors import InputError
from lexicell.lexicon import GeneList, Lexicon
from lexicell.projection import Projection
from lexicell_kernels import Weight

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_lexicon", "is_imported", "remake_options"]


def is_imported(facts: Mapping[str, Any]) -> bool:
    """Whether vectors are of another model, which `lexicell.import_embedding` has stored."""
    return "imported" in facts


def check_lexicon(facts: Mapping[str, Any], lexicon: Lexicon, label: str) -> None:
    """Raise InputError unless `lexicon` is the one that the vectors of `label` were made with."""
    used = facts["lexicon"]
    if str(used["identity"]) != lexicon.identity:
        msg = f"{label} was made with another lexicon, {used['name']}, than {lexicon.name} (--lexicon)"
        raise InputError(msg)


def remake_options(
    facts: Mapping[str, Any],
    label: str,
    *,
    lexicon: str | Lexicon = DEFAULT_LEXICON,
    projection: Projection | str | Path | None = None,
    genes: GeneList | None = None,
) -> Options:
    """Options with which `lexicell.embedding.make_plan` plans the same vectors.

    Parameters
    ----------
    facts
        ``uns["lexicell"]`` of a store.
    label
        What messages call it.
    lexicon, projection, genes
        What a run only keeps the identity of, see `lexicell.embed`.

    Raises
    ------
    InputError
        The run used another lexicon, a projection or a list of genes that is not given, or another one.
    """
    opened = lexicon if isinstance(lexicon, Lexicon) else Lexicon.open(lexicon)
    check_lexicon(facts, opened, label)
    made = str(facts["projection"])
    if not isinstance(projection, Projection | None):
        projection = Projection.load(projection)
    if projection is not None and projection.identity != made:
        msg = (
            f"{label} was not made with the projection {projection.name}; name the one that it was made with"
        )
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
        gene_column=str(read["column"]), organism=str(read["organism"]), min_coverage=None,
        mask_genes=masks, genes=genes,
    )  # fmt: skip
