"""A lexicon with right hashes whose content is not what its manifest says is refused, and never run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

from lexicell.errors import CorruptDataError, InputError, LexicellError, OutputExistsError, WriteError
from lexicell.lexicon import Lexicon
from lexicell.lexicon.manifest import Manifest
from lexicell.lexicon.write import check_output

G, D = 41, 48


def seal(folder: Path, **changed: Any) -> None:
    """Write the manifest anew, with the hashes of the files that are there."""
    content = json.loads((folder / "lexicon.json").read_bytes()) | changed
    del content["checksum"]
    for name in content["files"]:
        data = (folder / name).read_bytes()
        content["files"][name] = {"bytes": len(data), "blake3": blake3.blake3(data).hexdigest()}
    content["checksum"] = Manifest.model_validate(content).checksum
    (folder / "lexicon.json").write_text(json.dumps(content))


def stored(location="table.bin", offset="0", length=None, dims=(G, D), element=TensorProto.FLOAT16):
    """Describe a table beside the graph."""
    tensor = TensorProto(name="table", data_type=element, dims=dims, data_location=TensorProto.EXTERNAL)
    size = str(dims[0] * dims[1] * 2) if length is None else length
    for key, value in (("location", location), ("offset", offset), ("length", size)):
        tensor.external_data.add(key=key, value=value)
    return tensor


GATHER = helper.make_node("Gather", ["table", "rows"], ["stored"], axis=0)
CAST = helper.make_node("Cast", ["stored"], ["vectors"], to=TensorProto.FLOAT)


def model(nodes=(GATHER, CAST), initializers=None, **graph_fields):
    """Make the graph of a lexicon, or a wrong one."""
    graph = helper.make_graph(
        nodes,
        "lexicon",
        [helper.make_tensor_value_info("rows", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", D])],
        [stored()] if initializers is None else initializers,
        **graph_fields,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def numbers(name, values, shape=None, element=TensorProto.INT64):
    return helper.make_tensor(name, element, [len(values)] if shape is None else shape, values)


def endless_loop():
    described = helper.make_tensor_value_info
    go, x = described("c", TensorProto.BOOL, []), described("x", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["co"]), helper.make_node("Identity", ["x"], ["xo"])],
        "body",
        [described("i", TensorProto.INT64, []), go, x],
        [described("co", TensorProto.BOOL, []), described("xo", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        GATHER,
        helper.make_node("Cast", ["stored"], ["first"], to=TensorProto.FLOAT),
        helper.make_node("Loop", ["times", "go", "first"], ["vectors"], body=body),
    ]
    endless = numbers("go", [True], [], TensorProto.BOOL)
    return model(nodes, [stored(), numbers("times", [2**60], []), endless])


def huge_allocation():
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("Gather", ["big", "rows"], ["vectors"], axis=0),
    ]
    return model(nodes, [numbers("shape", [3_000_000, D])])


def random_numbers():
    nodes = [
        helper.make_node("Shape", ["rows"], ["n"]),
        helper.make_node("Concat", ["n", "d"], ["shape"], axis=0),
        helper.make_node("RandomNormal", [], ["drawn"], shape=[1, D]),
        helper.make_node("Expand", ["drawn", "shape"], ["vectors"]),
    ]
    return model(nodes, [numbers("d", [D])])


def with_function():
    made = model()
    made.functions.append(helper.make_function("own", "f", ["x"], ["y"], [], [helper.make_opsetid("", 17)]))
    return made


def with_foreign_operators():
    made = model()
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def with_training():
    made = model()
    made.training_info.add()
    return made


def with_second_output():
    made = model()
    made.graph.output.append(helper.make_tensor_value_info("stored", TensorProto.FLOAT16, ["n", D]))
    return made


def with_table_inside():
    table = numbers("table", np.zeros(G * D, np.float16).tolist(), [G, D], TensorProto.FLOAT16)
    return model(initializers=[table])


def with_other(node, **attributes):
    other = onnx.NodeProto()
    other.CopyFrom(node)
    del other.attribute[:]
    other.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    return other


GRAPHS = {
    "endless loop": endless_loop,
    "huge allocation": huge_allocation,
    "random numbers": random_numbers,
    "function": with_function,
    "foreign operators": with_foreign_operators,
    "training": with_training,
    "second output": with_second_output,
    "table inside the graph": with_table_inside,
    "no node": lambda: model(()),
    "other axis": lambda: model((with_other(GATHER, axis=1), CAST)),
    "cast to another type": lambda: model((GATHER, with_other(CAST, to=TensorProto.DOUBLE))),
    "third node": lambda: model((GATHER, CAST, helper.make_node("Neg", ["vectors"], ["other"]))),
    "no table": lambda: model(initializers=[]),
    "second table": lambda: model(initializers=[stored(), numbers("more", [1])]),
    "sparse table": lambda: model(sparse_initializer=[onnx.SparseTensorProto()]),
    "fewer rows": lambda: model(initializers=[stored(dims=(10, D))]),
    "more rows": lambda: model(initializers=[stored(dims=(G * 1000, D))]),
    "2^40 rows": lambda: model(initializers=[stored(dims=(2**40, D))]),
    "rows and columns swapped": lambda: model(initializers=[stored(dims=(D, G))]),
    "other number type": lambda: model(initializers=[stored(element=TensorProto.BFLOAT16)]),
    "file above the folder": lambda: model(initializers=[stored("../secret.bin")]),
    "absolute path": lambda: model(initializers=[stored("/dev/zero")]),
    "other file of the folder": lambda: model(initializers=[stored("genes.parquet")]),
    "offset beyond the end": lambda: model(initializers=[stored(offset="999999999")]),
    "negative offset": lambda: model(initializers=[stored(offset="-8")]),
    "offset of two bytes": lambda: model(initializers=[stored(offset="2")]),
    "other length": lambda: model(initializers=[stored(length="8")]),
    "endless comment": lambda: model(doc_string="x" * (1 << 20)),
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_graph_that_does_more_or_less_than_look_up_is_never_run(lexicon, monkeypatch, kind):
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("was run"))
    (lexicon.path / "table.onnx").write_bytes(GRAPHS[kind]().SerializeToString())
    seal(lexicon.path)
    with pytest.raises(CorruptDataError, match=r"table\.onnx"):
        Lexicon.open(lexicon.path)
    unverified = Lexicon.open(lexicon.path, verify=False)
    with pytest.raises(CorruptDataError, match=r"table\.onnx"):
        unverified.vectors(unverified.rows)


def test_a_lookup_that_another_version_of_onnx_wrote_is_read(lexicon):
    again = model()
    again.producer_name, again.ir_version, again.opset_import[0].version = "other", 9, 19
    (lexicon.path / "table.onnx").write_bytes(again.SerializeToString())
    seal(lexicon.path)
    opened = Lexicon.open(lexicon.path)
    np.testing.assert_array_equal(opened.vectors(opened.rows), lexicon.stored.astype(np.float32))


@pytest.mark.parametrize("target", ["elsewhere", "beside"])
def test_a_table_that_is_a_link_out_of_the_folder_is_refused_and_one_within_is_read(lexicon, target):
    file = lexicon.path / "table.bin"
    folder = lexicon.path.parent if target == "elsewhere" else lexicon.path
    file.symlink_to(file.rename(folder / "other.bin"))
    if target == "elsewhere":
        with pytest.raises(InputError, match=r"table\.bin"):
            Lexicon.open(lexicon.path)
    else:
        opened = Lexicon.open(lexicon.path)
        assert opened.vectors(opened.rows).shape == (G, D)


def replaced(genes: pa.Table, name: str, values: Any, kind: pa.DataType | None = None) -> pa.Table:
    return genes.set_column(genes.column_names.index(name), name, pa.array(values, kind))


def doubled(genes: pa.Table, name: str) -> pa.Table:
    return genes.append_column(name, genes[name])


TABLES = {
    "no gene": lambda genes: genes.slice(0, 0),
    "one gene less": lambda genes: genes.slice(0, G - 1),
    "one gene more": lambda genes: pa.concat_tables([genes, genes.slice(0, 1)]),
    "no aliases": lambda genes: genes.drop_columns("aliases"),
    "no text": lambda genes: genes.drop_columns("text"),
    "no row": lambda genes: genes.drop_columns("row"),
    "two columns of symbols": lambda genes: doubled(genes, "symbol"),
    "symbols that are numbers": lambda genes: replaced(genes, "symbol", range(G)),
    "symbols that are bytes": lambda genes: replaced(genes, "symbol", [b"\xff"] * G),
    "NCBI ids that are text": lambda genes: replaced(genes, "ncbi_id", ["x"] * G),
    "NCBI ids that are fractions": lambda genes: replaced(genes, "ncbi_id", [0.5] * G),
    "aliases that are text": lambda genes: replaced(genes, "aliases", ["x"] * G),
    "aliases in lists of lists": lambda genes: replaced(genes, "aliases", [[["x"]]] * G),
    "Ensembl ids that are numbers": lambda genes: replaced(genes, "ensembl_ids", [[1]] * G),
    "names that are nothing": lambda genes: replaced(genes, "name", [None] * G, pa.null()),
    "rows that are all 0": lambda genes: replaced(genes, "row", [0] * G, pa.int32()),
    "rows that descend": lambda genes: replaced(genes, "row", range(G)[::-1], pa.int32()),
    "rows from 1": lambda genes: replaced(genes, "row", range(1, G + 1), pa.int32()),
    "rows that are unknown": lambda genes: replaced(genes, "row", [None] * G, pa.int32()),
    "rows of 64 bits": lambda genes: replaced(genes, "row", range(G), pa.int64()),
    "text of 90 MB": lambda genes: replaced(genes, "text", ["A" * (90 << 20)] + [None] * (G - 1)),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_a_gene_table_of_other_genes_columns_or_types_is_corrupt(lexicon, kind):
    file = lexicon.path / "genes.parquet"
    pq.write_table(TABLES[kind](lexicon.read_genes()), file, compression="zstd", store_schema=False)
    seal(lexicon.path)
    with pytest.raises(CorruptDataError, match=r"genes\.parquet"):
        Lexicon.open(lexicon.path)
    with pytest.raises(CorruptDataError, match=r"genes\.parquet"):
        Lexicon.open(lexicon.path, verify=False).genes  # noqa: B018


@pytest.mark.parametrize("damage", ["text", "half", "other half", "zeros within"])
def test_a_gene_table_that_is_no_parquet_is_corrupt(lexicon, damage):
    file = lexicon.path / "genes.parquet"
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    if damage == "text":
        data = bytearray(b"row,symbol\n0,A1BG\n")
    elif damage == "half":
        data = data[:middle]
    elif damage == "other half":
        data = data[middle:]
    else:
        data[:middle] = bytes(middle)
    file.write_bytes(data)
    seal(lexicon.path)
    with pytest.raises(CorruptDataError, match=r"genes\.parquet"):
        Lexicon.open(lexicon.path).read_genes()


@pytest.mark.parametrize(
    "changed",
    [
        {"n_genes": 10}, {"n_genes": G + 1}, {"n_genes": 2**62}, {"n_genes": 10**400}, {"dim": 1},
        {"dim": 2**40}, {"dim": 10**400}, {"dtype": "float32"}, {"n_genes": D, "dim": G},
        {"n_genes": 2 * G, "dim": D // 2}, {"n_genes": G, "dim": D // 2, "dtype": "float32"},
    ],
)  # fmt: skip
def test_a_manifest_of_another_shape_is_noticed_when_opened(lexicon, changed):
    seal(lexicon.path, **changed)
    with pytest.raises(CorruptDataError, match=str(lexicon.path)):
        Lexicon.open(lexicon.path)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, '{"format_version":1,"name":' + "[" * 100_000, "1" * 5_000, "NaN",
     '{"n_genes":1e400}', '{"format_version":"1"}', '"' + "\\ud800" * 9 + '"', "\x00", "\ufeff{}"],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_manifest_that_json_cannot_hold_is_corrupt(lexicon, text):
    (lexicon.path / "lexicon.json").write_text(text)
    with pytest.raises(CorruptDataError, match=r"lexicon\.json"):
        Lexicon.open(lexicon.path)


@pytest.mark.parametrize("name", ["lexicon.json", "genes.parquet", "table.onnx", "table.bin", "README.md"])
@pytest.mark.parametrize("instead", ["folder", "loop", "pipe", "dangling link"])
def test_what_is_no_file_is_corrupt_and_nothing_waits_for_it(lexicon, name, instead):
    file = lexicon.path / name
    file.unlink()
    if instead == "folder":
        file.mkdir()
    elif instead == "loop":
        file.symlink_to(file)
    elif instead == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("nowhere")
    with pytest.raises(LexicellError, match=str(lexicon.path)) as caught:
        Lexicon.open(lexicon.path)
    assert caught.value.exit_code in (2, 4)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5_000, "a\x00b", ".", ""])
def test_a_manifest_that_lists_what_no_file_can_be_called_is_corrupt(lexicon, name):
    content = json.loads((lexicon.path / "lexicon.json").read_bytes())
    files = content["files"] | {name: content["files"]["table.bin"]}
    listed = Manifest.model_validate(
        {key: value for key, value in content.items() if key != "checksum"} | {"files": files}
    )
    listed.write(lexicon.path)
    with pytest.raises(CorruptDataError, match=str(lexicon.path)):
        Lexicon.open(lexicon.path)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 7, G - 1])
def test_a_vector_that_is_not_finite_is_refused_by_name_and_others_are_read(lexicon, dtype, value, row):
    from lexicell.lexicon import write_lexicon

    info = lexicon.info
    genes, vectors = lexicon.read_genes().drop_columns("row"), lexicon.stored.astype(dtype)
    folder = lexicon.path.with_name(dtype)
    write_lexicon(
        folder, genes, vectors, name="x", organism="human", text=info.text, encoder=info.encoder, dtype=dtype
    )
    vectors[row, D - 1] = value
    vectors.tofile(folder / "table.bin")
    seal(folder)
    gene = genes["symbol"][row].as_py()
    with pytest.raises(CorruptDataError, match=f"{gene} "):
        Lexicon.open(folder)
    unverified = Lexicon.open(folder, verify=False)
    with pytest.raises(CorruptDataError, match=f"{gene} "):
        unverified.vectors(np.array([20, row]))
    assert np.isfinite(unverified.vectors(np.delete(unverified.rows, row))).all()


def test_the_largest_numbers_of_a_type_are_finite():
    from lexicell.lexicon.table import first_not_finite

    for dtype in (np.float16, np.float32):
        largest = np.full((3, 4), np.finfo(dtype).max, dtype)
        assert first_not_finite(largest) is None
        assert first_not_finite(-largest) is None
        assert first_not_finite(np.empty((0, 4), dtype)) is None
        many = np.zeros((70_000, 64), dtype)
        many[69_999, 63] = -np.inf
        assert first_not_finite(many) == 69_999


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5_000, "a\x00b", "loop", "file/below"])
def test_a_path_that_cannot_be_one_is_an_input_error(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        Lexicon.open(tmp_path / name)
    assert not isinstance(caught.value, CorruptDataError)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5_000])
def test_an_output_that_cannot_be_called_so_is_one_sentence(tmp_path, name):
    with pytest.raises((WriteError, OutputExistsError)):
        check_output(tmp_path / name, overwrite=False)
