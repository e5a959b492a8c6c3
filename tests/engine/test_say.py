"""Names from files are shown, never obeyed: by terminals, and by the spreadsheets that open our tables."""

from __future__ import annotations

import pandas as pd
import pytest

from lexicell._say import printable, spreadsheet_cell, spreadsheet_cells


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("good\rbad", r"good\rbad"),
        ("a\bb", r"a\x08b"),
        ("a\x00b\x7f", r"a\x00b\x7f"),
        ("cell\u202egpj.exe", r"cell\u202egpj.exe"),
        ("\u2066x\u2069\u200f", r"\u2066x\u2069\u200f"),
        ("line\u2028line", r"line\u2028line"),
        ("half\ud800", r"half\ud800"),
        ("CD4⁺ T, β-actin, 細胞, 🧬", "CD4⁺ T, β-actin, 細胞, 🧬"),
        ("two\tcolumns\ntwo lines", "two\tcolumns\ntwo lines"),
        ("", ""),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


FORMULAS = [
    "=cmd|' /C calc'!A0",
    "=1+1",
    "+SUM(A1)",
    "-2+3+cmd",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "-",
    "=",
    "＝1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text):
    assert spreadsheet_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "value",
    [
        "B cell",
        "CD4+ T",
        "a=b",
        "'=1",
        "",
        " =1",
        "-1",
        "+2.5",
        "-1e-3",
        "-inf",
        -1,
        2.5,
        None,
        float("inf"),
        True,
    ],
)
def test_other_cells_stay_as_they_are(value):
    assert spreadsheet_cell(value) is value


def test_names_categories_and_texts_of_a_table_are_made_safe_and_numbers_stay():
    table = pd.DataFrame(
        {
            "label": pd.Categorical(["=1+1", "B", "=1+1"]),
            "=second": ["@x", None, "-"],
            "confidence": [-0.5, 1.0, float("nan")],
            "used": [True, False, True],
        },
        index=["-cell", "cell", "cell"],
    )
    safe = spreadsheet_cells(table)
    assert list(safe.index) == ["'-cell", "cell", "cell"]
    assert list(safe.columns) == ["label", "'=second", "confidence", "used"]
    assert list(safe["label"]) == ["'=1+1", "B", "'=1+1"]
    assert safe["'=second"].fillna("none").tolist() == ["'@x", "none", "'-"]
    pd.testing.assert_series_equal(safe["confidence"], table["confidence"].set_axis(safe.index))
    assert safe["used"].dtype == bool
    assert list(table.index) == ["-cell", "cell", "cell"]
