"""Cell types as texts: what is read, and that they are encoded and compared as the genes are."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import numpy as np
import pytest
import scipy.sparse as sp

from lexicell.annotation import CellType, annotate, read_types
from lexicell.annotation.cell_ontology import embed_types, text_scores
from lexicell.atlas import open_counts
from lexicell.embedding import AlignOptions, align_cells
from lexicell.embedding.events import ignore
from lexicell.errors import InputError, InputNotFoundError, MissingExtraError
from lexicell.projection import UNKNOWN

OBO = """format-version: 1.2

[Term]
id: CL:0000236
name: B cell
def: "A lymphocyte that makes \\"antibodies\\"." [GOC:x, ISBN:y]

[Term]
id: CL:0000084
name: T cell

[Term]
id: CL:0000001
name: obsolete cell
is_obsolete: true

[Term]
id: GO:0005623
name: cell part

[Typedef]
id: CL:part_of
name: part of
"""
READ = (
    CellType("B cell", 'A lymphocyte that makes "antibodies".', "CL:0000236"),
    CellType("T cell", "", "CL:0000084"),
)


def test_an_ontology_is_read_without_obsolete_and_foreign_terms(tmp_path):
    (tmp_path / "cl.obo").write_text(OBO)
    assert read_types(tmp_path / "cl.obo") == READ
    prefix = "obo/CL_"
    nodes = [
        {"id": f"{prefix}0000236", "lbl": "B cell", "meta": {"definition": {"val": READ[0].definition}}},
        {"id": f"{prefix}0000084", "lbl": "T cell"},
        {"id": f"{prefix}0000001", "lbl": "obsolete cell", "meta": {"deprecated": True}},
        {"id": "obo/GO_0005623", "lbl": "cell part"},
        {"id": f"{prefix}0000002"},
    ]
    (tmp_path / "cl.json").write_text(json.dumps({"graphs": [{"nodes": nodes}]}))
    assert read_types(tmp_path / "cl.json") == READ


def test_names_come_from_a_list_or_a_file_with_definitions(tmp_path):
    assert read_types([" B cell", "T cell ", ""]) == (CellType("B cell"), CellType("T cell"))
    (tmp_path / "types.txt").write_text("B cell\tMakes antibodies.\n\nT cell\n")
    types = read_types(tmp_path / "types.txt")
    assert types[0].text == "B cell. Makes antibodies."
    assert types[1].text == "T cell"


def test_the_package_of_the_ontology_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "cellxgene_ontology_guide", None)
    with pytest.raises(MissingExtraError, match="pip install cellxgene-ontology-guide"):
        read_types("cell-ontology")

    class Parser:
        def get_term_label_to_id_map(self, ontology):
            return {"B cell": "CL:1", "T cell": "CL:2", "old cell": "CL:3"}

        def is_term_deprecated(self, term):
            return term == "CL:3"

        def get_term_label(self, term):
            return {"CL:1": "B cell", "CL:2": "T cell"}[term]

        def get_term_description(self, term):
            return None

    module = ModuleType("cellxgene_ontology_guide.ontology_parser")
    module.OntologyParser = Parser
    monkeypatch.setitem(sys.modules, "cellxgene_ontology_guide", ModuleType("cellxgene_ontology_guide"))
    monkeypatch.setitem(sys.modules, "cellxgene_ontology_guide.ontology_parser", module)
    assert read_types("cell-ontology") == (CellType("B cell", "", "CL:1"), CellType("T cell", "", "CL:2"))


def test_what_is_no_list_of_types_is_one_sentence(tmp_path):
    (tmp_path / "bad.json").write_text("[1, 2]")
    for given, says in (
        (["B cell"], "1 cell types were found"),
        (["B cell", "B cell"], "'B cell' occurs twice"),
        (["B cell", "unknown"], "'unknown' is no cell type"),
        (tmp_path / "bad.json", "OBO graph"),
    ):
        with pytest.raises(InputError) as error:
            read_types(given)
        assert says in str(error.value)
    with pytest.raises(InputNotFoundError):
        read_types(tmp_path / "none.txt")


def graph(*nodes: object) -> str:
    return json.dumps({"graphs": [{"nodes": list(nodes)}]})


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"graphs":' * 100_000, '{"graphs": [{"nodes": ' + "[" * 100_000, "1" * 5_000, "",
     "{", "5", "null", "{}", '{"graphs": 5}', '{"graphs": [5]}', '{"graphs": [{}]}',
     '{"graphs": [{"nodes": 5}]}',
     graph(5), graph({}), graph({"id": 5}), graph({"id": "x/CL_1", "lbl": 5}),
     graph({"id": "x/CL_1", "lbl": ["B"]}), graph({"id": "x/CL_1", "lbl": "B", "meta": 5}),
     graph({"id": "x/CL_1", "lbl": "B", "meta": {"definition": 5}}),
     graph({"id": "x/CL_1", "lbl": "B", "meta": {"definition": {"val": 5}}})],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_json_that_is_no_graph_of_types_is_an_input_error_that_names_the_file(tmp_path, text):
    (tmp_path / "types.json").write_text(text)
    with pytest.raises(InputError, match=r"types\.json"):
        read_types(tmp_path / "types.json")


@pytest.mark.parametrize("name", ["a" * 300 + ".txt", "a" * 5_000 + ".json", "folder.txt", "loop.obo"])
def test_a_path_that_is_no_file_of_types_is_an_input_error(tmp_path, name):
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "loop.obo").symlink_to(tmp_path / "loop.obo")
    with pytest.raises(InputError):
        read_types(tmp_path / name)


def test_sixty_thousand_names_are_read_and_the_one_that_occurs_twice_is_told(tmp_path):
    names = [f"type {number}" for number in range(60_000)]
    (tmp_path / "many.txt").write_text("\n".join(names))
    assert [kind.name for kind in read_types(tmp_path / "many.txt")] == names
    with pytest.raises(InputError, match="'type 59999' occurs twice"):
        read_types([*names, "type 59999"])


class Known:
    """Encodes the name of a gene as the vector that the lexicon has for it."""

    cache_key = ""

    def __init__(self, lexicon, revision=None):
        self.lexicon = lexicon
        self.info = lexicon.info.encoder.model_copy(update={} if revision is None else {"revision": revision})

    def encode(self, texts, on_batch=None):
        symbols = self.lexicon.genes.column("symbol").to_pylist()
        vectors = self.lexicon.vectors(np.array([symbols.index(text) for text in texts]))
        if on_batch is not None:
            on_batch(range(len(texts)), vectors)
        return vectors


@pytest.fixture
def asked(bundled, monkeypatch):
    """What was asked of `load_encoder`, which finds an encoder that knows genes."""
    calls = []

    def load(name, options, notify=None):
        calls.append((name, options))
        return Known(bundled)

    monkeypatch.setattr("lexicell.annotation.cell_ontology.load_encoder", load)
    return calls


def test_types_are_encoded_as_the_lexicon_was(bundled, asked):
    vectors = embed_types([CellType("CD3D"), CellType("MS4A1")], bundled, ignore)
    assert vectors.shape == (2, bundled.dim)
    name, options = asked[0]
    assert name == "minilm"
    assert (options.pooling, options.max_tokens, options.long_text) == ("mean", 256, "truncate")


def test_another_version_of_the_encoder_is_refused(bundled, monkeypatch):
    monkeypatch.setattr(
        "lexicell.annotation.cell_ontology.load_encoder", lambda *a, **k: Known(bundled, "blake3:other")
    )
    with pytest.raises(InputError, match=r"another version \(blake3:other\)"):
        embed_types([CellType("CD3D"), CellType("MS4A1")], bundled, ignore)


def test_what_all_types_have_in_common_says_nothing(halves, bundled):
    with open_counts(halves[1][:20].copy()) as source:
        cells = align_cells(source, AlignOptions())
        types = bundled.vectors(np.arange(5))
        alone, shifted = (text_scores(cells, types + shift, ignore)[0] for shift in (0, 0.5))
    np.testing.assert_allclose(alone, shifted, atol=1e-5)


def test_a_cell_gets_the_type_whose_text_is_nearest(halves, asked):
    """Cells of one gene only, whose vector is then that gene's, among types that are genes."""
    query = halves[1][:30].copy()
    genes = [query.var_names.get_loc(name) for name in ("CD79A", "GNLY", "LYZ")]
    at = np.arange(29)
    query.X = sp.csr_matrix((np.full(29, 5.0), (at, np.take(genes, at % 3))), shape=query.shape)
    types = read_types(["CD79A", "GNLY", "LYZ"])
    made = annotate(query, zero_shot=True, types=types)
    assert list(made.cells["label"][:6]) == ["CD79A", "GNLY", "LYZ"] * 2
    assert made.cells["label"].iloc[29] == UNKNOWN
    assert made.mode == "zero-shot"
    assert (made.cells["confidence"][:29] > 0.5).all()
    assert (annotate(query, zero_shot=True, types=types, threshold=1.01).cells["label"] == UNKNOWN).all()
