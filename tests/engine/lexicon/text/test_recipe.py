"""How texts are put together: recipes by name, templates, and what happens where parts are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexicell.errors import InputError
from lexicell.lexicon.text.columns import Columns, TextOptions
from lexicell.lexicon.text.recipe import RECIPES, choose_recipe

TABLE = Path("t.tsv")
PRESENT = ["symbol", "full_name", "summary", "go_bp", "go_mf", "go_cc", "Function [CC]", "gene_id"]
COLUMNS = Columns(
    id="gene_id",
    symbol="symbol",
    name="full_name",
    summary="summary",
    go_bp="go_bp",
    go_mf="go_mf",
    go_cc="go_cc",
)
INS = {
    "symbol": "INS",
    "full_name": "insulin",
    "summary": "Lowers blood glucose.",
    "go_mf": "hormone activity; protein binding [GO:0005515]",
    "go_bp": "glucose homeostasis|cell-cell signaling|glucose homeostasis",
    "go_cc": "extracellular region",
    "Function [CC]": "Insulin decreases blood glucose.",
    "gene_id": "3630",
}
NOTHING = dict.fromkeys(INS, "")
GO = (
    "Molecular function: hormone activity; protein binding. Involved in: glucose homeostasis; cell-cell "
    "signaling. Located in: extracellular region."
)


def compose(recipe: str, **values: str) -> tuple[str, str]:
    made = choose_recipe(TABLE, PRESENT, COLUMNS, recipe).compose({**NOTHING, **values})
    return made.text, made.made_of


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ("summary", "Lowers blood glucose."),
        ("name+summary", "INS (insulin). Lowers blood glucose."),
        ("name", "INS (insulin)"),
        ("go", GO),
        ("name+go+summary", f"INS (insulin). {GO} Lowers blood glucose."),
    ],
)
def test_each_recipe_on_a_gene_that_has_everything(recipe, text):
    assert recipe in RECIPES
    assert compose(recipe, **INS) == (text, recipe)


@pytest.mark.parametrize(
    ("values", "text", "made_of"),
    [
        ({"symbol": "INS", "summary": "S."}, "INS. S.", "name+summary"),
        ({"full_name": "insulin", "summary": "S."}, "insulin. S.", "name+summary"),
        ({"symbol": "INS", "full_name": "Ins", "summary": "S"}, "INS. S", "name+summary"),
        ({"symbol": "A", "full_name": "a, jr.", "summary": "S."}, "A (a, jr.) S.", "name+summary"),
        ({"full_name": "protein of Smith Jr.", "summary": "S."}, "protein of Smith Jr. S.", "name+summary"),
        ({"summary": "S."}, "S.", "summary"),
        ({"symbol": "INS", "full_name": "insulin"}, "INS (insulin)", "name"),
        ({"symbol": "INS"}, "INS", "name"),
        ({}, "", ""),
    ],
)
def test_missing_parts_leave_no_trace(values, text, made_of):
    assert compose("name+summary", **values) == (text, made_of)


def test_what_a_text_is_made_of_names_the_parts_that_were_there():
    assert compose("name+go+summary", symbol="A", go_cc="nucleus") == ("A. Located in: nucleus.", "name+go")
    assert compose("go", symbol="A") == ("", "")
    assert compose("go", go_bp="GO:0005515|GO:0000001") == ("", "")


def test_one_column_of_go_terms_will_do():
    recipe = choose_recipe(TABLE, ["symbol", "go"], Columns(symbol="symbol", go="go"), "name+go+summary")
    assert recipe.columns == ("symbol", "go")
    assert recipe.compose({"symbol": "A", "go": "x|y"}).text == "A. Gene Ontology: x; y."


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("{symbol} ({full_name}). {summary}", INS, "INS (insulin). Lowers blood glucose."),
        ("{symbol} ({full_name}). {summary}", {"symbol": "INS"}, "INS."),
        ("{symbol}[ ({full_name})][. {summary}]", {"symbol": "INS"}, "INS"),
        ("{symbol}[ ({full_name})][. {summary}]", {"symbol": "I", "summary": "S."}, "I. S."),
        ("[{symbol}, {full_name}: ]{summary}", {"symbol": "I", "summary": "S."}, "S."),
        ("{SYMBOL} does: {Function [CC]}", INS, "INS does: Insulin decreases blood glucose."),
        ("[[{symbol}]] {{x}} {symbol}}}", INS, "[INS] {x} INS}"),
        ("{summary}.", INS, "Lowers blood glucose."),
        ("gene: {summary}", {"symbol": "INS"}, ""),
    ],
)
def test_templates(template, values, text):
    assert compose(template, **values) == (text, "template")


def test_a_template_reads_only_its_columns():
    recipe = choose_recipe(TABLE, PRESENT, COLUMNS, "{symbol}[ {Function [CC]}] {symbol}")
    assert (recipe.name, recipe.columns) == (
        "{symbol}[ {Function [CC]}] {symbol}",
        ("symbol", "Function [CC]"),
    )


@pytest.mark.parametrize(
    ("template", "character"),
    [
        ("{symbol", 1),
        ("{symbol}}", 9),
        ("{symbol} [", 11),
        ("{symbol}] x", 9),
        ("{symbol}[ {summary}[ {go_bp}]]", 20),
        ("{symbol}[ RNA]", 14),
        ("x { {symbol}", 3),
    ],
)
def test_templates_that_are_not_well_formed_are_refused_at_the_place(template, character):
    with pytest.raises(InputError, match=f"{character}") as caught:
        compose(template)
    assert "\n" not in str(caught.value)


def test_unknown_columns_and_recipes_are_refused_with_what_there_is():
    with pytest.raises(InputError, match=r"t\.tsv.*'nick'.*symbol, full"):
        compose("{symbol} {nick}")
    with pytest.raises(
        InputError, match=r"no text recipe 'names\+summary' \(did you mean name\+summary.*\?\); there"
    ):
        compose("names+summary")
    with pytest.raises(InputError, match=r"'quux'.*summary, name"):
        compose("quux")
    with pytest.raises(InputError, match="'summary'"):
        choose_recipe(TABLE, ["symbol"], Columns(symbol="symbol"), "summary")
    with pytest.raises(InputError, match="'name'"):
        choose_recipe(TABLE, ["id"], Columns(id="id"), "name")


def test_a_recipe_and_a_text_column_exclude_each_other():
    with pytest.raises(InputError, match=r"'go'.*'text'"):
        TextOptions(recipe="go", text_column="text")
    with pytest.raises(InputError, match=r"'dull'.*name-only, shared, placeholder"):
        TextOptions(drop=("dull",))  # type: ignore[arg-type]
