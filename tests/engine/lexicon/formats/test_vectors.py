from __future__ import annotations

import gzip
import json
import os
import pickle
import signal
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from lexicell.errors import (
    CorruptDataError,
    InputError,
    InputNotFoundError,
    LexicellError,
    OutputExistsError,
    WriteError,
)
from lexicell.lexicon import Lexicon, TextOptions, align_genes, export_vectors, import_vectors
from lexicell.lexicon.formats.vectors import read_vectors


@pytest.fixture
def file_size_limit():
    """What a full disk looks like: no file of this process can grow beyond so many bytes."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limit(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    return limit


FACTS = {"encoder_id": "ada", "source": "GenePT", "licence": "MIT", "organism": "human"}
GENES = {"TP53": [0.1, 0.2], "CD4": [0.3, 0.4], "B2M": [0.5, -0.6]}
VECTORS = np.array(list(GENES.values()), dtype=np.float32)
SYMBOLS = np.array(list(GENES))
LISTS = pa.array(VECTORS.tolist(), pa.list_(pa.float32()))
NOTHING = {"gene": pa.array([], pa.string()), "v": pa.array([], pa.float32())}


def _json(path, genes=None):
    path.write_text(json.dumps(GENES if genes is None else genes))
    return path


def _put(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _npz(path, **arrays):
    np.savez(path, **(arrays or {"emb": VECTORS, "symbol": SYMBOLS}))
    return path


def _parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def _index(path):
    import pandas as pd

    pd.DataFrame(VECTORS, index=list(GENES), columns=["0", "1"]).to_parquet(path)
    return path


WRITERS = {
    "json": lambda d: _json(d / "g.json"),
    "json.gz": lambda d: _put(d / "g.json.gz", gzip.compress(json.dumps(GENES).encode())),
    "npz": lambda d: _npz(d / "g.npz"),
    "npz of bytes": lambda d: _npz(d / "g.npz", X=VECTORS, genes=SYMBOLS.astype("S"), loss=np.ones(4)),
    "parquet, index": lambda d: _index(d / "g.parquet"),
    "parquet, columns": lambda d: _parquet(
        d / "g.parquet", gene=list(GENES), a=VECTORS[:, 0], b=VECTORS[:, 1]
    ),
    "parquet, lists": lambda d: _parquet(d / "g.parquet", who=list(GENES), v=LISTS),
}


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_gives_the_same_lexicon(tmp_path, form):
    lexicon = import_vectors(WRITERS[form](tmp_path), tmp_path / "l", **FACTS)
    assert lexicon.genes["symbol"].to_pylist() == ["B2M", "CD4", "TP53"]
    assert lexicon.info.dtype == "float32"
    np.testing.assert_array_equal(lexicon.stored, VECTORS[[2, 1, 0]])
    assert (lexicon.info.encoder.id, lexicon.info.text.source, lexicon.info.text.licence) == (
        "ada",
        "GenePT",
        "MIT",
    )
    lexicon.verify()


def test_parquet_comes_back_bit_for_bit(tmp_path, lexicon):
    """48 made-up float16 numbers for each of 41 real genes."""
    file = export_vectors(lexicon.path, tmp_path / "out.parquet")
    back = import_vectors(file, tmp_path / "back", dtype="float16", **FACTS)
    columns = ["ncbi_id", "symbol", "ensembl_ids"]
    assert back.genes.select(columns).to_pylist() == lexicon.genes.select(columns).to_pylist()
    assert back.stored.tobytes() == lexicon.stored.tobytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back", "lexicon", "out.parquet"]


def test_safetensors_hold_the_numbers_as_they_are_stored_and_the_names(tmp_path, lexicon):
    with safe_open(export_vectors(lexicon.path, tmp_path / "out.safetensors"), "numpy") as file:
        names = json.loads(file.metadata()["genes"])
        assert file.get_tensor("emb").tobytes() == lexicon.stored.tobytes()
    assert names["symbol"] == lexicon.genes["symbol"].to_pylist()
    assert names["ensembl_ids"][0] == "|".join(lexicon.genes["ensembl_ids"][0].as_py())


def test_a_file_is_written_the_same_way_twice(tmp_path, lexicon):
    for suffix in ("parquet", "safetensors"):
        one, two = (export_vectors(lexicon.path, tmp_path / f"{n}.{suffix}").read_bytes() for n in "ab")
        assert one == two


def test_float16_stays_float16_unless_asked(tmp_path):
    _npz(tmp_path / "g.npz", emb=VECTORS.astype(np.float16), symbol=SYMBOLS)
    assert import_vectors(tmp_path / "g.npz", tmp_path / "l", **FACTS).info.dtype == "float16"
    assert (
        import_vectors(tmp_path / "g.npz", tmp_path / "m", dtype="float32", **FACTS).info.dtype == "float32"
    )


def test_names_are_what_most_of_them_look_like(tmp_path):
    names = ["ENSG00000141510.12", "ENSG00000010610", "B2M"]
    lexicon = import_vectors(
        _json(tmp_path / "g.json", dict(zip(names, GENES.values(), strict=True))), tmp_path / "e", **FACTS
    )
    assert [(g["symbol"], g["ensembl_ids"]) for g in lexicon.genes.to_pylist()] == [
        (None, ["ENSG00000010610"]), (None, ["ENSG00000141510"]), ("B2M", []),
    ]  # fmt: skip
    lexicon = import_vectors(_json(tmp_path / "g.json", {"7157": [1], "920": [2]}), tmp_path / "n", **FACTS)
    assert lexicon.genes["ncbi_id"].to_pylist() == [920, 7157]
    lexicon = import_vectors(
        _json(tmp_path / "g.json", {"7157": [1], "920": [2]}), tmp_path / "s", names_are="symbol", **FACTS
    )
    assert lexicon.genes["symbol"].to_pylist() == ["7157", "920"]
    with pytest.raises(InputError, match=r"'TP53'.*NCBI Gene"):
        import_vectors(
            _json(tmp_path / "g.json", {"1": [1], "12": [1], "TP53": [2]}), tmp_path / "x", **FACTS
        )


def test_numbers_of_rows_are_not_taken_for_ids(tmp_path):
    with pytest.raises(InputError, match="numbers the rows"):
        import_vectors(_npz(tmp_path / "g.npz", emb=np.eye(4), index=np.arange(4)), tmp_path / "l", **FACTS)
    beside = _npz(tmp_path / "h.npz", emb=np.eye(3), index=np.array([4, 9, 11]), symbol=SYMBOLS)
    assert import_vectors(beside, tmp_path / "l", **FACTS).genes["ncbi_id"].null_count == 3


def test_names_may_come_from_a_file(tmp_path):
    _npz(tmp_path / "g.npz", emb=VECTORS)
    (tmp_path / "names.txt").write_text("TP53\nCD4\nB2M\n")
    lexicon = import_vectors(tmp_path / "g.npz", tmp_path / "l", names=tmp_path / "names.txt", **FACTS)
    assert lexicon.genes["symbol"].to_pylist() == ["B2M", "CD4", "TP53"]
    (tmp_path / "names.txt").write_text("TP53\nCD4\n")
    with pytest.raises(InputError, match=r"2 names .* for 3 vectors"):
        import_vectors(tmp_path / "g.npz", tmp_path / "m", names=tmp_path / "names.txt", **FACTS)
    with pytest.raises(InputError, match="give a file of names"):
        import_vectors(tmp_path / "g.npz", tmp_path / "m", **FACTS)


def test_zeros_and_nameless_vectors_are_left_out_and_told(tmp_path):
    said = []
    _npz(
        tmp_path / "g.npz", emb=np.array([[1, 2], [0, 0], [3, 4], [0, 0]]), gene=np.array(["A", "B", "", "C"])
    )
    lexicon = import_vectors(tmp_path / "g.npz", tmp_path / "l", notify=said.append, **FACTS)
    assert lexicon.genes["symbol"].to_pylist() == ["A"]
    assert "2 genes with a vector of zeros were left out: B, C" in said
    assert "1 vectors without a name were left out" in said
    with pytest.raises(InputError, match="other than zeros"):
        import_vectors(_json(tmp_path / "z.json", {"A": [0, 0]}), tmp_path / "m", **FACTS)


def test_a_gene_may_be_there_twice_only_with_one_vector(tmp_path):
    said, names = [], np.array(["A", "B", "A"])
    twice = np.array([[1, 2], [3, 4], [1, 2]])
    _npz(tmp_path / "g.npz", emb=twice, symbol=names)
    assert import_vectors(tmp_path / "g.npz", tmp_path / "l", notify=said.append, **FACTS).n_genes == 2
    assert "1 genes are there twice with the same vector: A" in said
    twice[2] = 1, 5
    _npz(tmp_path / "g.npz", emb=twice, symbol=names)
    with pytest.raises(InputError, match="two different vectors for A"):
        import_vectors(tmp_path / "g.npz", tmp_path / "m", **FACTS)


@pytest.mark.slow
def test_a_table_of_texts_brings_texts_and_a_lexicon_only_ids(tmp_path, gene_table, bundled):
    """GenePT's names are in upper case and partly out of date: C1ORF112 and OCT4."""
    genes = {"TP53": [1], "C1ORF112": [2], "OCT4": [3], "NOTAGENE": [4], "POU5F1P3": [5]}
    said = []
    with_ids = import_vectors(
        _json(tmp_path / "g.json", genes), tmp_path / "i", ids="human-go-minilm", notify=said.append, **FACTS
    )
    found = {g["symbol"]: g for g in with_ids.read_genes().to_pylist()}
    known = {g["symbol"]: g for g in bundled.read_genes().to_pylist()}
    assert found["TP53"]["ensembl_ids"] == ["ENSG00000141510"]
    assert found["POU5F1"]["ncbi_id"] == 5460
    assert found["NOTAGENE"]["ncbi_id"] is None
    assert found["TP53"]["mouse_symbols"] == known["TP53"]["mouse_symbols"] != []
    assert with_ids.vectors(np.array([found["POU5F1"]["row"]])) == [[3]]
    assert not any(gene["text"] for gene in found.values())
    assert "are in human-go-minilm (" in said[-1]

    with_texts = import_vectors(
        tmp_path / "g.json",
        tmp_path / "t",
        texts=gene_table,
        text_options=TextOptions(text_column="text"),
        **FACTS,
    )
    texts = {g["symbol"]: g["text"] for g in with_texts.read_genes().to_pylist()}
    assert texts["TP53"] == known["TP53"]["text"]
    assert texts["NOTAGENE"] is None
    assert with_texts.info.text.recipe == "column text"


def test_an_alias_does_not_take_the_row_of_a_gene_that_is_there_by_name(tmp_path):
    for names in (["OCT4", "POU5F1"], ["POU5F1", "OCT4"]):
        path = _json(tmp_path / "g.json", dict(zip(names, ([1], [2]), strict=True)))
        lexicon = import_vectors(path, tmp_path / "l", ids="human-go-minilm", overwrite=True, **FACTS)
        assert {(g["symbol"], g["ncbi_id"]) for g in lexicon.genes.to_pylist()} == {
            ("POU5F1", 5460),
            ("OCT4", None),
        }


def test_real_vectors_describe_real_cells(tmp_path, data, pbmc3k):
    shared = data("pbmc3k_raw_labelled.h5ad").parents[1]
    lexicon = import_vectors(
        shared / "embeddings" / "minilm_l6_refseq_summary_human_f16.npz", tmp_path / "l",
        texts=shared / "gene_text" / "ncbi_refseq_summary_human.tsv.gz", ids="human-go-minilm", **FACTS,
    )  # fmt: skip
    assert (lexicon.n_genes, lexicon.dim, lexicon.info.dtype) == (15136, 384, "float16")
    assert lexicon.info.encoder.normalised
    assert sum(map(bool, lexicon.genes["ensembl_ids"].to_pylist())) == 14918
    assert align_genes(lexicon, pbmc3k.var).by_route()["Ensembl id"] > 12000


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_opened_whatever_its_name(tmp_path, protocol, monkeypatch):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    for content in ({"TP53": [0.1]}, Trap()):
        for name in (
            "g.pickle",
            "g.pickle.",
            "g.pkl",
            "g.pkl.gz",
            "g.json",
            "g.npz",
            "g.json.gz",
        ):
            dumped = pickle.dumps(content, protocol)
            (tmp_path / name).write_bytes(gzip.compress(dumped) if name.endswith("gz") else dumped)
            with pytest.raises((InputError, CorruptDataError)) as caught:
                import_vectors(tmp_path / name, tmp_path / "l", **FACTS)
            if ".p" in name or protocol >= 2:
                assert "is a pickle, and opening a pickle runs any code" in str(caught.value)
                assert len(str(caught.value).splitlines()) == 3
    assert not (tmp_path / "sprung").exists()
    assert not (tmp_path / "l").exists()


def test_the_way_out_of_a_pickle_works(tmp_path, monkeypatch):
    (tmp_path / "GenePT.pickle").write_bytes(pickle.dumps(GENES))
    with pytest.raises(InputError) as caught:
        import_vectors(tmp_path / "GenePT.pickle", tmp_path / "l", **FACTS)
    monkeypatch.chdir(tmp_path)
    exec("\n".join(line.strip() for line in str(caught.value).splitlines()[1:]))  # noqa: S102
    lexicon = import_vectors("genes.npz", "l", **FACTS)
    np.testing.assert_array_equal(lexicon.stored, VECTORS[[2, 1, 0]])


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    _npz(tmp_path / "g.npz", emb=VECTORS, symbol=SYMBOLS.astype(object))
    with pytest.raises(InputError, match="astype"):
        import_vectors(tmp_path / "g.npz", tmp_path / "l", **FACTS)


BAD = {
    "a text": (lambda d: _json(d / "g.json", {"TP53": "tumour protein"}), "'TP53' has a text"),
    "strings": (lambda d: _json(d / "g.json", {"TP53": ["1"]}), "'TP53' is not a list of numbers"),
    "ragged": (
        lambda d: _json(d / "g.json", {"A": [1, 2], "TP53": [1]}),
        "'TP53' has 1 numbers, that of 'A' 2",
    ),
    "nested": (lambda d: _json(d / "g.json", {"TP53": [[1], [2, 3]]}), "'TP53' is not a list of numbers"),
    "null": (lambda d: _json(d / "g.json", {"TP53": [1, None]}), "'TP53' is not a list of numbers"),
    "nan": (
        lambda d: _json(d / "g.json", {"A": [1.0], "TP53": [float("nan")]}),
        "vector of TP53 has numbers that are not finite",
    ),
    "huge": (
        lambda d: _json(d / "g.json", {"TP53": [1e300]}),
        "vector of TP53 has numbers that are not finite",
    ),
    "empty": (lambda d: _json(d / "g.json", {}), "no genes"),
    "list": (lambda d: _json(d / "g.json", [[1]]), "not gene -> list of numbers"),
    "empty list": (lambda d: _json(d / "g.json", {"TP53": []}), r"shape \[1, 0\]"),
    "latin-1": (lambda d: _put(d / "g.json", b'{\n"\xe9": [2]}'), "line 2: not UTF-8 .byte 0xe9"),
    "no bytes": (lambda d: _put(d / "g.json", b""), "not gene -> list of numbers"),
    "no matrix": (
        lambda d: _npz(d / "g.npz", symbol=SYMBOLS),
        "expected one two-dimensional array of numbers, found none",
    ),
    "two": (lambda d: _npz(d / "g.npz", a=VECTORS, b=VECTORS, symbol=SYMBOLS), "found 2 .a, b."),
    "no names": (lambda d: _npz(d / "g.npz", emb=VECTORS), "no gene names under a usual name"),
    "3 names": (
        lambda d: _npz(d / "g.npz", emb=VECTORS, symbol=SYMBOLS[:2]),
        "2 names .'symbol'. for 3 vectors",
    ),
    "genes as columns": (
        lambda d: _parquet(d / "g.parquet", **{k: pa.array(v) for k, v in GENES.items()}),
        "no gene names",
    ),
    "no numbers": (lambda d: _parquet(d / "g.parquet", gene=["A"]), "no column of numbers"),
    "ragged lists": (
        lambda d: _parquet(d / "g.parquet", gene=["A", "TP53"], v=[[1.0], [1.0, 2.0]]),
        "'TP53' has 2 numbers",
    ),
    "null list": (
        lambda d: _parquet(d / "g.parquet", gene=["A", "TP53"], v=[[1.0], None]),
        "'TP53' has 0 numbers",
    ),
    "null number": (
        lambda d: _parquet(d / "g.parquet", gene=["A", "TP53"], v=[1.0, None]),
        "vector of TP53 has numbers that are not",
    ),
    "no rows": (lambda d: _parquet(d / "g.parquet", **NOTHING), r"shape \[0, 1\]"),
    "unknown": (lambda d: _put(d / "g.csv", "A,1"), "expected .json, .parquet"),
    "a folder": (lambda d: d, "is not a file"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_refused_in_a_sentence_and_nothing_is_written(tmp_path, bad):
    write, why = BAD[bad]
    with pytest.raises(InputError, match=why) as caught:
        import_vectors(write(tmp_path), tmp_path / "l", **FACTS)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*l*.partial"))
    assert not (tmp_path / "l").exists()


@pytest.mark.parametrize("form", ["json", "json.gz", "npz", "parquet, lists"])
def test_a_file_cut_short_anywhere_is_never_taken(tmp_path, form):
    path = WRITERS[form](tmp_path)
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, max(1, len(whole) // 60)):
        path.write_bytes(whole[:size])
        with pytest.raises((InputError, CorruptDataError)) as caught:
            import_vectors(path, tmp_path / "l", **FACTS)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "l").exists()


def test_a_number_beyond_the_type_is_refused_by_gene(tmp_path):
    with pytest.raises(InputError, match=r"CD4.*float16.*float32"):
        import_vectors(
            _json(tmp_path / "g.json", {"A": [1], "CD4": [1e6]}), tmp_path / "l", dtype="float16", **FACTS
        )


def test_missing_files_and_facts_are_named(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"no\.json"):
        import_vectors(tmp_path / "no.json", tmp_path / "l", **FACTS)
    for fact, word in (
        ("encoder_id", "encoder"),
        ("source", "source"),
        ("licence", "licence"),
        ("organism", "organism"),
    ):
        with pytest.raises(InputError, match=f"{word}"):
            import_vectors(_json(tmp_path / "g.json"), tmp_path / "l", **{**FACTS, fact: " "})


def test_writing_out_is_refused_where_something_is(tmp_path, lexicon):
    (tmp_path / "a.parquet").write_text("mine")
    (tmp_path / "folder.parquet").mkdir()
    for name in ("a.parquet", "folder.parquet"):
        with pytest.raises(OutputExistsError):
            export_vectors(lexicon.path, tmp_path / name)
    with pytest.raises(OutputExistsError):
        export_vectors(lexicon.path, tmp_path / "folder.parquet", overwrite=True)
    assert (tmp_path / "a.parquet").read_text() == "mine"
    export_vectors(lexicon.path, tmp_path / "a.parquet", overwrite=True)
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 41
    with pytest.raises(InputError, match=r"\.parquet, \.safetensors"):
        export_vectors(lexicon.path, tmp_path / "a.pickle")


@pytest.mark.parametrize("suffix", ["parquet", "safetensors"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, lexicon, suffix, file_size_limit):
    with file_size_limit(2000), pytest.raises(WriteError, match=r"cannot be written .* make room"):
        export_vectors(lexicon.path, tmp_path / f"out.{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == ["lexicon"]


def test_a_full_disk_leaves_no_half_lexicon(tmp_path, file_size_limit):
    path = _json(tmp_path / "g.json")
    with file_size_limit(500), pytest.raises(WriteError, match="cannot be written"):
        import_vectors(path, tmp_path / "l", **FACTS)
    assert [p.name for p in tmp_path.iterdir()] == ["g.json"]
    assert Lexicon.open(import_vectors(path, tmp_path / "l", **FACTS).path).n_genes == 3


@pytest.mark.parametrize(
    "name", ["a" * 300 + ".json", "a" * 5_000 + ".npz", "loop.npz", "folder.json", "pipe.json"]
)
def test_a_path_that_is_no_file_of_vectors_is_an_input_error(tmp_path, name):
    (tmp_path / "loop.npz").symlink_to(tmp_path / "loop.npz")
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(LexicellError):
        read_vectors(tmp_path / name)


@pytest.mark.parametrize("suffix", [".json", ".npz", ".parquet"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b'{"A": ' + b"[" * 100_000,
        b'{"A": [' + b"9" * 400 + b"]}",
        b'{"A": [' + b"9" * 5_000 + b"]}",
        b"PK\x03\x04" + bytes(99),
        b"PAR1" + bytes(99) + b"PAR1",
        b"\x93NUMPY\x01\x00v\x00{" + b" " * 117,
        (1 << 40).to_bytes(8, "little") + b"{}",
        (8).to_bytes(8, "little") + b'{"a": 5}',
        b"\x1f\x8b" + bytes(20),
    ],
    ids=lambda data: str(data[:16]),
)
def test_what_no_format_holds_is_one_error_that_names_the_file(tmp_path, suffix, data):
    (tmp_path / f"file{suffix}").write_bytes(data)
    with pytest.raises(LexicellError, match="file"):
        read_vectors(tmp_path / f"file{suffix}")
