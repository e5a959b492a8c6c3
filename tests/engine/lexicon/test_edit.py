from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexicell.errors import InputError, OutputExistsError
from lexicell.lexicon import (
    EncoderInfo,
    Lexicon,
    TextInfo,
    merge_lexicons,
    read_gene_texts,
    subset_lexicon,
    write_lexicon,
)
from lexicell.lexicon.match import gene_keys, lexicon_order

ENCODER = EncoderInfo(id="none", revision="0", pooling="mean", max_tokens=1, normalised=False)
FILES = ("genes.parquet", "table.bin", "table.onnx", "lexicon.json", "README.md")


def _gene(ncbi: int | None, symbol: str | None, ensembl=(), text="a text", **more) -> dict:
    return {
        "ncbi_id": ncbi, "symbol": symbol, "ensembl_ids": list(ensembl), "aliases": [], "mouse_symbols": [],
        "name": None, "gene_type": None, "text": text, "text_source": "here", "text_flag": None, **more,
    }  # fmt: skip


@pytest.fixture
def make(tmp_path):
    """Write a lexicon of made-up genes; the vector of row i is all i + `start`."""

    def write(name, *genes, start=0.0, text=None, dim=3, dtype="float16", encoder=ENCODER, **more):
        from lexicell.lexicon.genes import gene_schema

        schema = pa.schema(list(gene_schema())[1:])
        vectors = np.arange(start, start + len(genes))[:, None] * np.ones(dim)
        return write_lexicon(
            tmp_path / name, pa.Table.from_pylist(list(genes), schema=schema), vectors, name=name,
            organism=more.pop("organism", "human"), text=text or TextInfo(source=name), encoder=encoder,
            dtype=dtype, **more,
        ).path  # fmt: skip

    return write


def _symbols(lexicon: Lexicon) -> list[str]:
    return lexicon.genes["symbol"].to_pylist()


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, 40), min_size=1, max_size=40), st.booleans())
def test_a_part_and_its_complement_merge_into_the_original(tmp_path_factory, small_lexicon, part, backwards):
    folder = tmp_path_factory.mktemp("parts")
    ids = small_lexicon.genes["ncbi_id"].to_pylist()
    parts = [[str(n) for row, n in enumerate(ids) if (row in part) == inside] for inside in (True, False)]
    for name, genes in zip("ab", parts, strict=True):
        subset_lexicon(small_lexicon.path, folder / name, genes=genes)
    names = [folder / name for name in ("ba" if backwards else "ab")]
    merged = merge_lexicons(names, folder / "all", name=small_lexicon.name)
    for file in (*FILES, "NOTICE.md"):
        assert (merged.path / file).read_bytes() == (small_lexicon.path / file).read_bytes(), file
    assert merged.identity == small_lexicon.identity


@pytest.fixture(scope="session")
def small_lexicon(tmp_path_factory, small_table):
    genes = read_gene_texts(small_table).table
    vectors = np.random.default_rng(0).standard_normal((genes.num_rows, 48))
    return write_lexicon(
        tmp_path_factory.mktemp("small") / "small", genes, vectors, name="small", organism="human",
        text=TextInfo(source="a test", licence="A; B", recipe="{x}; {x}"), encoder=ENCODER,
        notes={"NOTICE.md": b"Thanks.\n"},
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_kept_vectors_are_the_same_bits_in_the_same_order(tmp_path, make, dtype):
    path = make("l", *(_gene(n, f"G{n}") for n in range(1, 6)), start=0.1, dtype=dtype)
    kept = subset_lexicon(path, tmp_path / "s", genes=["G4", "G2"])
    assert _symbols(kept) == ["G2", "G4"]
    assert kept.info.dtype == dtype
    assert kept.stored.tobytes() == Lexicon.open(path).stored[[1, 3]].tobytes()


def test_order_is_that_of_the_texts_reader(gene_table):
    genes = read_gene_texts(gene_table).table
    shuffled = np.random.default_rng(3).permutation(genes.num_rows)
    order = lexicon_order(gene_keys(genes.take(shuffled)))
    np.testing.assert_array_equal(shuffled[order], np.arange(genes.num_rows))
    keys = gene_keys(pa.table({"ncbi_id": [None, 9], "symbol": ["A", None], "ensembl_ids": [None, ["E"]]}))
    assert lexicon_order(keys).tolist() == [1, 0]  # genes without an id are last


def test_genes_are_named_by_any_of_their_names(tmp_path, bundled):
    said = []
    names = [" TP53", "OCT4", "ENSG00000010610.9", "914", "no such gene", "7157", ""]
    kept = subset_lexicon(bundled.path, tmp_path / "s", genes=names, notify=said.append)
    assert set(_symbols(kept)) == {"TP53", "POU5F1", "CD4", "CD2"}
    assert any(line == "1 of 6 names are no genes of human-go-minilm: no such gene" for line in said)
    assert any("1 names were found as aliases: OCT4" in line for line in said)
    assert said[-1] == "4 of 21,609 genes kept"
    assert (kept.path / "NOTICE.md").read_bytes() == (bundled.path / "NOTICE.md").read_bytes()
    assert kept.info.text == bundled.info.text


def test_genes_of_a_data_set_are_kept(tmp_path, bundled, cells):
    from lexicell.lexicon import align_genes

    kept = subset_lexicon(bundled.path, tmp_path / "s", like=cells.var)
    rows = align_genes(bundled, cells.var).rows
    assert kept.n_genes == len(np.unique(rows[rows >= 0]))
    assert (align_genes(kept, cells.var).rows >= 0).tolist() == (rows >= 0).tolist()


def test_types_and_flags_choose_together(tmp_path, make):
    path = make(
        "l", _gene(1, "A", gene_type="protein-coding"), _gene(2, "B", gene_type="ncRNA"),
        _gene(3, "C", gene_type="protein-coding", text_flag="shared"), _gene(4, "D"),
    )  # fmt: skip
    assert _symbols(subset_lexicon(path, tmp_path / "t", types=["protein-coding"])) == ["A", "C"]
    assert _symbols(subset_lexicon(path, tmp_path / "f", drop=["shared"])) == ["A", "B", "D"]
    both = subset_lexicon(path, tmp_path / "b", types=["protein-coding"], drop=["shared"], genes=["A", "B"])
    assert _symbols(both) == ["A"]
    for options, why in (
        ({"types": ["protein"]}, "no genes of type 'protein'; there are ncRNA, protein-coding"),
        ({"drop": ["short"]}, "no flag 'short'"),
        ({"genes": ["B"], "types": ["protein-coding"]}, "None of the 4 genes of l is left"),
        ({"genes": ["X", "Y"]}, r"None of the 2 names is a gene of l \(X, Y\)"),
        ({"genes": [" "]}, "list of genes names no gene"),
        ({"like": pd.DataFrame(index=["X"])}, "None of the 4 genes"),
        ({}, "Say which genes to keep"),
    ):
        with pytest.raises(InputError, match=why):
            subset_lexicon(path, tmp_path / "no", **options)
    assert not (tmp_path / "no").exists()


def test_a_lexicon_without_types_says_so(tmp_path, make):
    with pytest.raises(InputError, match="which types"):
        subset_lexicon(make("l", _gene(1, "A")), tmp_path / "s", types=["ncRNA"])


def test_the_first_lexicon_has_its_way(tmp_path, make):
    first = make("a", _gene(3, "C", text="first"), _gene(1, "A"), start=10)
    second = make("b", _gene(1, "A2", text="second"), _gene(2, "B"), start=20)
    said = []
    merged = merge_lexicons([first, second], tmp_path / "m", notify=said.append)
    assert merged.read_genes(["ncbi_id", "symbol", "text"]).to_pylist() == [
        {"ncbi_id": 1, "symbol": "A", "text": "a text"},
        {"ncbi_id": 2, "symbol": "B", "text": "a text"},
        {"ncbi_id": 3, "symbol": "C", "text": "first"},
    ]
    assert merged.stored[:, 0].tolist() == [11, 21, 10]
    assert said == ["a: 2 of 2 genes", "b: 1 of 2 genes; 1 are in a lexicon before it, which is taken"]


@pytest.mark.parametrize(
    ("mine", "other", "same"),
    [
        (_gene(1, "A"), _gene(1, "B"), True),
        (_gene(1, "A"), _gene(2, "A"), False),  # symbols move between genes, ids do not
        (_gene(1, "A"), _gene(None, "A"), True),
        (_gene(1, "A", ["E1", "E2"]), _gene(None, "B", ["E2"]), True),
        (_gene(None, "Y_RNA", ["E1"]), _gene(None, "Y_RNA", ["E2"]), False),  # hundreds of genes are Y_RNA
        (_gene(None, "A", ["E1"]), _gene(None, "A"), True),
        (_gene(None, None, ["E1"]), _gene(None, None, ["E2"]), False),
        (_gene(1, None), _gene(2, None), False),
    ],
)
def test_what_is_the_same_gene(tmp_path, make, mine, other, same):
    for name, pair in (("ab", (mine, other)), ("ba", (other, mine))):
        merged = merge_lexicons([make(f"{name}1", pair[0]), make(f"{name}2", pair[1])], tmp_path / name)
        assert merged.n_genes == (1 if same else 2)


def test_two_rows_that_match_one_both_give_way_and_rows_of_one_lexicon_never_do(tmp_path, make):
    first = make("a", _gene(1, "A", ["E1"]))
    second = make("b", _gene(None, "A"), _gene(None, "B", ["E1"]))
    assert _symbols(merge_lexicons([first, second], tmp_path / "ab")) == ["A"]
    assert _symbols(merge_lexicons([second, first], tmp_path / "ba")) == ["A", "B"]


def test_sources_licences_and_credits_are_joined_once(tmp_path, make):
    one = TextInfo(source="X 1", date="2020", licence="CC BY 4.0", attribution="Thank X.", recipe="name")
    two = TextInfo(source="Y 2", date="2020", attribution="Thank Y.", recipe="name")
    first = make("a", _gene(1, "A"), text=one, notes={"NOTICE.md": b"X"})
    second = make("b", _gene(2, "B"), text=two, notes={"NOTICE.md": b"Y", "MORE.txt": b"more"})
    merged = merge_lexicons([first, second], tmp_path / "m")
    assert merged.info.text == TextInfo(
        source="X 1; Y 2", date="2020", licence="CC BY 4.0; not stated for Y 2",
        attribution="Thank X. Thank Y.", recipe="name",
    )  # fmt: skip
    assert merged.read_notes() == {"NOTICE.md": b"X", "NOTICE-2.md": b"Y", "MORE.txt": b"more"}
    again = merge_lexicons([merged.path, second, first], tmp_path / "again", name="m")
    assert again.info.text == merged.info.text
    assert again.identity == merged.identity


def test_float16_is_widened_beside_float32(tmp_path, make):
    first = make("a", _gene(1, "A"), start=0.1)
    second = make("b", _gene(2, "B"), start=0.1, dtype="float32")
    merged = merge_lexicons([first, second], tmp_path / "m")
    assert merged.info.dtype == "float32"
    assert merged.stored[:, 0].tolist() == [np.float32(np.float16(0.1)), np.float32(0.1)]


def test_lexicons_that_cannot_be_compared_are_not_merged(tmp_path, make):
    first = make("a", _gene(1, "A"))
    for i, (options, why) in enumerate(
        (
            ({"organism": "mouse"}, "organism is 'human' in the first and 'mouse' in the other"),
            ({"dim": 4}, "length of the vectors is 3 in the first and 4"),
            ({"encoder": ENCODER.model_copy(update={"id": "x"})}, "encoder's id is 'none'"),
            ({"encoder": ENCODER.model_copy(update={"pooling": "cls"})}, "encoder's pooling"),
            ({"encoder": ENCODER.model_copy(update={"revision": ""})}, "revision is '0' .* and not stated"),
            ({"encoder": ENCODER.model_copy(update={"long_text": "window"})}, "encoder's long text"),
        )
    ):
        with pytest.raises(InputError, match=why):
            merge_lexicons([first, make(f"b{i}", _gene(2, "B"), **options)], tmp_path / "m")
    with pytest.raises(InputError, match="two or more"):
        merge_lexicons([first], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_an_existing_output_is_refused_before_any_work(tmp_path, make):
    path = make("a", _gene(1, "A"))
    with pytest.raises(OutputExistsError):
        subset_lexicon("no such lexicon", path, genes=["A"])
    with pytest.raises(OutputExistsError):
        merge_lexicons(["no", "such"], path)
    subset_lexicon(path, path, genes=["A"], overwrite=True, name="b")  # onto itself
    assert Lexicon.open(path).name == "b"
