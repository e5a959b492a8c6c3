"""Gene sets are read as they are, and their genes found in a lexicon."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from lexicell.errors import CorruptDataError, InputError, InputNotFoundError
from lexicell.evaluation import GeneSet, GeneSets, match_gene_sets, read_gene_sets


def test_the_bundled_sets_are_the_benchmarks_56_terms_with_21_groups(bundled):
    sets = read_gene_sets("go-bp")
    assert (len(sets.sets), len(sets.groups)) == (56, 21)
    by_id = {one.id: one for one in sets.sets}
    assert by_id["GO:0000086"].label == "G2/M transition of mitotic cell cycle"
    assert "983" in by_id["GO:0000086"].genes  # CDK1
    matched = match_gene_sets(bundled, sets)
    assert len(matched.terms) == 56
    assert matched.skipped == ()
    assert matched.n_matched / matched.n_names > 0.99
    assert all(len(term.pool) >= 10 * len(term.positives) for term in matched.terms)


def test_each_bundled_term_lies_under_a_group_and_not_under_all(bundled):
    for term in match_gene_sets(bundled, read_gene_sets("go-bp")).terms:
        assert 0 < len(term.groups) < 21


def test_a_gmt_is_read_plain_or_gzipped_whatever_the_line_ends(tmp_path):
    text = "T1\tterm one (3)\tA\tB\tA\t\r\n\r\nT2\thttp://x.org\tC\r\n"
    (tmp_path / "my sets.gmt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "my sets.gmt.gz").write_bytes(gzip.compress(text.encode()))
    plain, packed = (read_gene_sets(tmp_path / f"my sets.gmt{end}") for end in ("", ".gz"))
    assert plain == packed
    assert plain.name == "my sets"
    assert [one.genes for one in plain.sets] == [{"A", "B"}, {"C"}]


@pytest.mark.parametrize(
    ("id_", "name", "label"),
    [
        ("GO:1", "cell cycle", "cell cycle"),
        ("GO:1", "cell cycle (123)", "cell cycle"),
        ("mitosis (GO:0000278)", "", "mitosis"),
        ("HALLMARK_HYPOXIA", "https://msigdb.org/x", "HALLMARK HYPOXIA"),
        ("GO:1", "na", "GO:1"),
        ("GO:1", "biosynthesis (early)", "biosynthesis (early)"),
    ],
)
def test_a_set_is_called_by_its_name_where_it_has_one(id_, name, label):
    assert GeneSet(id_, name, frozenset()).label == label


def test_genes_are_found_by_symbol_id_or_alias_and_counted_once(make_lexicon):
    lexicon = make_lexicon(np.eye(8, dtype=np.float32))
    one = GeneSet("T", "t", frozenset({"G0", "2", "ENSG00000000002.4", "A3", "A0", "GONE"}))
    rest = GeneSet("R", "r", frozenset({"G4", "G5"}))
    matched = match_gene_sets(lexicon, GeneSets("s", (one, rest)), least=3)
    (term,) = matched.terms
    np.testing.assert_array_equal(term.positives, [0, 1, 2, 3])
    np.testing.assert_array_equal(term.pool, [4, 5])
    assert (matched.n_names, matched.n_matched) == (8, 7 - 1)  # A0 gives way to G0
    assert matched.skipped == (("r", 2),)


def test_negatives_come_from_groups_that_do_not_stand_above_the_term(make_lexicon):
    def numbers(*rows: int) -> frozenset[str]:
        return frozenset(f"G{i}" for i in rows)

    sets = GeneSets(
        "s",
        (GeneSet("T", "t", numbers(0, 1, 9)),),
        (
            GeneSet("above", "", numbers(0, 1, 2, 3, 9)),
            GeneSet("beside", "", numbers(1, 3, 4, 5)),
            GeneSet("other", "", numbers(5, 6)),
        ),
    )
    (term,) = match_gene_sets(make_lexicon(np.eye(10, dtype=np.float32)), sets, least=1).terms
    np.testing.assert_array_equal(term.pool, [4, 5, 6])
    assert [group.tolist() for group in term.groups] == [[4, 5], [5, 6]]


def test_genes_outside_a_given_choice_do_not_exist(make_lexicon):
    lexicon = make_lexicon(np.eye(10, dtype=np.float32))
    sets = GeneSets(
        "s", (GeneSet("T", "t", frozenset({"G0", "G1", "G2"})), GeneSet("R", "r", frozenset({"G5", "G6"})))
    )
    term = match_gene_sets(lexicon, sets, least=1, within=[1, 2, 6]).terms[0]
    assert (term.positives.tolist(), term.pool.tolist()) == ([1, 2], [6])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has no gene sets"),
        (b"T\tname\n", "has no gene sets"),
        (b"just words\n", "line 1: not GMT"),
        (b"A\tb\tC\n\tb\tC\n", "line 2: not GMT"),
        (b"A\tb\tC\nA\tb\tD\n", "line 2: the set 'A' was there before"),
        (b"A\tb\tC\nB\tc\xff\tD\n", r"line 2: not UTF-8 \(byte 0xff\)"),
    ],
)
def test_what_is_no_gmt_is_refused_with_the_line(tmp_path, content, says):
    (tmp_path / "s.gmt").write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_gene_sets(tmp_path / "s.gmt")


def test_missing_truncated_and_foreign_files_are_told_apart(tmp_path, make_lexicon):
    with pytest.raises(InputNotFoundError, match=r'none.gmt.*"go-bp"'):
        read_gene_sets(tmp_path / "none.gmt")
    with pytest.raises(InputError, match="cannot be read"):
        read_gene_sets(tmp_path)
    (tmp_path / "s.gmt.gz").write_bytes(gzip.compress(b"A\tb\tC\n" * 99)[:-9])
    with pytest.raises(CorruptDataError, match="not complete gzip"):
        read_gene_sets(tmp_path / "s.gmt.gz")
    (tmp_path / "s.gmt").write_bytes(b"A\tb\tYBR160W\n")
    with pytest.raises(InputError, match="1 genes of s"):
        match_gene_sets(make_lexicon(np.eye(4, dtype=np.float32)), read_gene_sets(tmp_path / "s.gmt"))
