"""Recipes: named presets of what an embedding is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lexicell.errors import InputError
from lexicell.projection import Pooling
from lexicell_kernels import Weight

__all__ = ["DEFAULT_RECIPE", "RECIPES", "Recipe", "resolve_recipe"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a vector, besides the data, the lexicon and the projection.

    Attributes
    ----------
    name
        What people call it.
    top_k
        Genes per cell, None for all described ones.
    weight
        How much each gene counts in the mean.
    normalise
        Whether vectors are scaled to length 1.
    refine
        Whether the lexicon's vectors are whitened and its genes scaled by how much they count, unless
        there is a projection; see `lexicell.embedding.default_projection`.
    source
        Where the method is from.
    """

    name: str
    top_k: int | None
    weight: Weight
    normalise: bool
    source: str
    refine: bool = False


RECIPES = {
    "lexicell": Recipe(
        "lexicell",
        128,
        Weight.LOG1P,
        normalise=True,
        source="paper, vectors whitened, genes weighted by what their texts foretell of their dispersion",
        refine=True,
    ),
    "paper": Recipe(
        "paper",
        128,  # the papers leave N open; 128 is ours
        Weight.LOG1P,
        normalise=True,
        source="top-N genes, expression-weighted mean of description vectors (arXiv 2505.07896, 2509.23543)",
    ),
    "genept-w": Recipe(
        "genept-w",
        None,
        Weight.LOG1P,
        normalise=True,
        source="all genes, log-normalised expression as weight (GenePT-w, Chen & Zou 2023)",
    ),
}
DEFAULT_RECIPE = "lexicell"


def resolve_recipe(
    recipe: str | Recipe | None,
    top_k: int | None = None,
    weight: str | None = None,
    pooling: Pooling | None = None,
) -> Recipe:
    """Look a recipe up by name, and replace single settings of it.

    Parameters
    ----------
    recipe
        Name or `Recipe`; None for what a projection was learned with, else the default.
    top_k, weight
        In place of the recipe's.
    pooling
        What the projection was learned with, where there is one that says so.

    Raises
    ------
    InputError
        No such recipe or weight, or ``top_k < 1``.
    """
    if recipe is None and pooling is not None:
        recipe = Recipe(
            "learned",
            pooling.top_k,
            Weight(pooling.weight),
            normalise=pooling.normalise,
            source="what the projection was learned with",
        )
    recipe = DEFAULT_RECIPE if recipe is None else recipe
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            msg = f"there is no recipe {recipe!r}; there are {', '.join(RECIPES)}"
            raise InputError(msg)
        recipe = RECIPES[recipe]
    if top_k is not None:
        if top_k < 1:
            msg = f"top_k must be at least 1, not {top_k}"
            raise InputError(msg)
        recipe = replace(recipe, top_k=top_k)
    if weight is not None:
        try:
            recipe = replace(recipe, weight=Weight(weight))
        except ValueError:
            msg = f"there is no weight {weight!r}; there are {', '.join(Weight)}"
            raise InputError(msg) from None
    return recipe
