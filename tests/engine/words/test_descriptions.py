"""Sentences about cell types: what is shipped, how types are chosen, what people may write."""

from __future__ import annotations

import gzip
import json

import pytest

from lexicell.errors import InputError, InputNotFoundError
from lexicell.words.descriptions import Description, read_descriptions, shipped_groups, shipped_types

OWN = (Description("alpha", "Secretes glucagon"), Description("beta", "Secretes insulin"))


def names(types):
    return [kind.name for kind in types]


def test_shipped_types_are_unique_ascii_and_a_sentence_long():
    types = shipped_types()
    assert (
        len(types) == len({kind.id for kind in types}) == len({kind.name.casefold() for kind in types}) == 217
    )
    for kind in types:
        assert kind.id.startswith("CL:")
        assert (kind.name + kind.sentence).isascii()
        assert 8 <= len(kind.sentence.split()) <= 30, kind.name
    assert read_descriptions(types) == types


def test_every_group_has_types_and_is_called_as_no_type_is():
    groups = shipped_groups()
    assert {"blood", "pancreas", "brain"} <= groups.keys()
    assert all(group.islower() and 10 <= n <= 30 for group, n in groups.items())
    assert not groups.keys() & {
        called.casefold() for kind in shipped_types() for called in (kind.name, kind.id)
    }


def test_types_are_chosen_by_group_name_or_id_each_once_in_the_order_of_the_file():
    pancreas = shipped_types("pancreas")
    assert len(pancreas) == shipped_groups()["pancreas"]
    assert shipped_types(["type B pancreatic cell", "Pancreas ", "CL:0000169"]) == pancreas
    both = shipped_types("pancreas, blood")
    assert both == tuple(kind for kind in shipped_types() if kind in {*pancreas, *shipped_types("blood")})
    assert names(shipped_types("cl:0000236")) == ["B cell"]


def test_a_comma_in_a_name_separates_nothing():
    assert names(shipped_types("b cell,CD4-positive, alpha-beta T cell,")) == [
        "B cell",
        "CD4-positive, alpha-beta T cell",
    ]


@pytest.mark.parametrize(
    ("asked", "says"),
    [("pancras", r"'pancras' \(did you mean pancreas"), (["B cel"], r"did you mean B cell.*groups are blood"),
     ("CL:9999999", "groups are blood"), ("", "no description"), ([], "no description")],
)  # fmt: skip
def test_an_entry_that_is_neither_type_nor_group_is_named_with_those_like_it(asked, says):
    with pytest.raises(InputError, match=says):
        shipped_types(asked)


def test_mapping_lines_and_json_say_the_same(tmp_path):
    given = {kind.name: kind.sentence for kind in OWN}
    lines = "# mine\n\nalpha\tSecretes  glucagon \nbeta\t Secretes insulin\n"
    (tmp_path / "types.txt").write_text(lines)
    (tmp_path / "types.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "types.json").write_text(json.dumps(given))
    assert read_descriptions(given) == read_descriptions(OWN) == OWN
    for name in ("types.txt", "types.tsv.gz", "types.json"):
        assert read_descriptions(str(tmp_path / name)) == read_descriptions(tmp_path / name) == OWN
    assert read_descriptions(OWN[:1]) == OWN[:1]


def test_a_line_without_a_sentence_is_a_shipped_type_or_an_error_with_its_number(tmp_path):
    path = tmp_path / "types.txt"
    path.write_text("alpha\tSecretes glucagon\nb cell\nCL:0000169\n")
    assert read_descriptions(path)[1:] == shipped_types(["B cell", "CL:0000169"])
    for wrong in ("blood", "B cells"):
        path.write_text(f"# mine\n\nalpha\tSecretes glucagon\n{wrong}\n")
        with pytest.raises(InputError, match=rf"types\.txt, line 4: '{wrong}'"):
            read_descriptions(path)
    with pytest.raises(InputNotFoundError):
        read_descriptions(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "there is no description"),
        ({"alpha": " "}, "'alpha' has no sentence"),
        ({" ": "Secretes glucagon"}, "'Secretes glucagon' has no name"),
        ({"Unknown": "Secretes glucagon"}, "'Unknown' is what cells without a type are called"),
        ({"alpha": "12 + 3"}, "'alpha' has no letter"),
        ({"alpha": "a" * 2001}, "'alpha' has 2,001 characters"),
        ({"alpha": "half \ud83e"}, "'alpha' or its sentence has half a character"),
        ({"alpha": "Secretes  it", "beta": "secretes IT"}, "'alpha' and 'beta' have the same sentence"),
        ({"alpha": None}, "sentence of 'alpha' are not both text"),
        ([OWN[0], Description("alpha", "Secretes more")], "'alpha' occurs twice"),
        (["B cell"], "'B cell' is a str"),
    ],
)
def test_what_says_nothing_or_cannot_be_told_apart_is_refused(given, says):
    with pytest.raises(InputError, match=says):
        read_descriptions(given)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "5", '{"alpha": 5}', "{}"])
def test_json_that_is_no_object_of_strings_is_an_input_error_that_names_the_file(tmp_path, text):
    (tmp_path / "types.json").write_text(text)
    with pytest.raises(InputError, match=r"types\.json"):
        read_descriptions(tmp_path / "types.json")
