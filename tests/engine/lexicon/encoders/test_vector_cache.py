from __future__ import annotations

import sqlite3
import threading

import numpy as np
import pytest

from lexicell.errors import LexicellError
from lexicell.lexicon import read_gene_texts
from lexicell.lexicon.encoders import vector_cache as cache
from lexicell.lexicon.encoders.vector_cache import encode_cached, known_vectors

TEXTS = [f"text {i}" for i in range(20)]


class CountingEncoder:
    """Vectors from a text's hash; remembers what it was asked, and may stop half-way."""

    cache_key = "counting"
    dim = 4

    def __init__(self, info, stop_after: int | None = None) -> None:
        self.info = info
        self.asked: list[str] = []
        self.stop_after = stop_after

    def encode(self, texts, on_batch=None):
        vectors = np.stack([self.vector(text) for text in texts]) if texts else np.empty((0, self.dim), "f4")
        for start in range(0, len(texts), 2):
            if self.stop_after is not None and start >= self.stop_after:
                raise KeyboardInterrupt
            positions = range(start, min(start + 2, len(texts)))
            self.asked += [texts[i] for i in positions]
            if on_batch is not None:
                on_batch(positions, vectors[start : start + 2])
        return vectors

    def vector(self, text: str) -> np.ndarray:
        seed = int.from_bytes(cache.text_hash(text)[:8])
        return np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32)


@pytest.fixture
def encoder(fake_encoder) -> CountingEncoder:
    return CountingEncoder(fake_encoder.info)


@pytest.fixture
def again(fake_encoder) -> CountingEncoder:
    """The same encoder in another process."""
    return CountingEncoder(fake_encoder.info)


def _file(folder):
    (file,) = folder.glob("*.sqlite")
    return file


def test_a_text_is_encoded_once(encoder, again, vector_folder):
    texts = [*TEXTS, *TEXTS[:5]]
    first = encode_cached(encoder, texts)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, np.stack([encoder.vector(text) for text in texts]))
    assert encoder.asked == TEXTS
    second = encode_cached(again, [*texts, "new", ""])
    np.testing.assert_array_equal(second[:25], first)
    np.testing.assert_array_equal(second[25], encoder.vector("new"))
    assert again.asked == ["new", ""]
    assert [file.suffix for file in vector_folder.iterdir()] == [".sqlite"]


def test_progress_counts_known_and_repeated_texts(encoder, again):
    encode_cached(encoder, TEXTS[:6])
    steps: list[tuple[int, int]] = []
    lines: list[str] = []
    texts = [*TEXTS[:10], *TEXTS[:2], TEXTS[9]]
    encode_cached(again, texts, progress=lambda *step: steps.append(step), notify=lines.append)
    assert steps == [(8, 13), (10, 13), (13, 13)]
    assert lines == ["8 of 13 texts were encoded before"]


@pytest.mark.parametrize("keep", [True, False])
def test_without_key_or_wish_nothing_is_kept(encoder, vector_folder, keep):
    if keep:
        encoder.cache_key = ""
    for _ in range(2):
        encode_cached(encoder, TEXTS, keep=keep)
    assert len(encoder.asked) == 40
    assert list(vector_folder.iterdir()) == []


def test_encoders_do_not_share_vectors(encoder, again, vector_folder):
    encode_cached(encoder, TEXTS)
    again.cache_key = "another"
    encode_cached(again, TEXTS)
    assert again.asked == TEXTS
    # ... not even where one's file gets the other's name.
    mine, other = sorted(vector_folder.iterdir())
    mine.write_bytes(other.read_bytes())
    for each in (encoder, again):
        each.asked.clear()
        encode_cached(each, TEXTS)
    assert len(encoder.asked) + len(again.asked) == 20


def test_no_texts_are_no_vectors(encoder):
    assert encode_cached(encoder, []).shape == (0, 4)


def test_an_interrupted_run_is_continued(fake_encoder, again):
    stopped = CountingEncoder(fake_encoder.info, stop_after=8)
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        encode_cached(stopped, TEXTS, notify=lines.append)
    assert lines == ["8 new vectors are kept: the same command goes on from there"]
    vectors = encode_cached(again, TEXTS)
    assert again.asked == TEXTS[8:]
    np.testing.assert_array_equal(vectors, np.stack([again.vector(text) for text in TEXTS]))


def test_vectors_are_on_disk_while_encoding_goes_on(encoder, monkeypatch, vector_folder):
    monkeypatch.setattr(cache, "_TEXTS_PER_COMMIT", 6)
    rows: list[int] = []

    def look(done, total):
        with sqlite3.connect(_file(vector_folder)) as database:
            rows.append(database.execute("SELECT count(*) FROM vectors").fetchone()[0])
        database.close()

    encode_cached(encoder, TEXTS, progress=look)
    assert rows == [0, 0, 6, 6, 6, 12, 12, 12, 18, 18]
    monkeypatch.setattr(cache, "_SECONDS_PER_COMMIT", -1)
    rows.clear()
    encode_cached(encoder, [text + "!" for text in TEXTS[:4]], progress=look)
    assert rows == [22, 24]


def test_a_flipped_bit_is_noticed(encoder, again, vector_folder):
    encode_cached(encoder, TEXTS)
    with sqlite3.connect(_file(vector_folder)) as database:
        (vector,) = database.execute(
            "SELECT vector FROM vectors WHERE text = ?", (cache.text_hash("text 3"),)
        ).fetchone()
    database.close()
    content = bytearray(_file(vector_folder).read_bytes())
    assert content.count(vector) == 1
    content[content.index(vector) + 5] ^= 16
    _file(vector_folder).write_bytes(content)
    vectors = encode_cached(again, TEXTS)
    assert again.asked == ["text 3"]
    np.testing.assert_array_equal(vectors, np.stack([again.vector(text) for text in TEXTS]))
    again.asked.clear()
    encode_cached(again, TEXTS)
    assert again.asked == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"garbage" * 1000,
        lambda content: content[: len(content) // 2],
        lambda content: content[:100] + bytes(200) + content[300:],
        lambda content: content[:4096] + b"\xff" * 4096 + content[8192:],
    ],
)
def test_a_damaged_file_is_begun_anew(encoder, again, vector_folder, damage):
    many = [f"text {i}" for i in range(1000)]
    encode_cached(encoder, many)
    _file(vector_folder).write_bytes(damage(_file(vector_folder).read_bytes()))
    lines: list[str] = []
    vectors = encode_cached(again, many, notify=lines.append)
    np.testing.assert_array_equal(vectors, np.stack([again.vector(text) for text in many]))
    assert lines[:1] == ["The cache of vectors was damaged and is begun anew"]
    assert len(lines) <= 2
    again.asked.clear()
    encode_cached(again, many)
    assert again.asked == []


def test_tables_of_another_kind_are_begun_anew(encoder, again, vector_folder):
    encode_cached(encoder, TEXTS)
    with sqlite3.connect(_file(vector_folder)) as database:
        database.execute("DROP TABLE vectors")
        database.execute("CREATE TABLE vectors (other)")
    database.close()
    np.testing.assert_array_equal(
        encode_cached(again, TEXTS), np.stack([again.vector(text) for text in TEXTS])
    )
    again.asked.clear()
    encode_cached(again, TEXTS)
    assert again.asked == []


def test_without_a_writable_folder_encoding_goes_on(encoder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(cache, "vector_folder", lambda: tmp_path / "file" / "vectors")
    lines: list[str] = []
    assert encode_cached(encoder, TEXTS, notify=lines.append).shape == (20, 4)
    assert len(lines) == 1
    assert lines[0].startswith("Vectors are not kept for a next time (")
    assert "Not a directory" in lines[0]


def test_without_a_home_encoding_goes_on(encoder, monkeypatch):
    def homeless():
        raise RuntimeError

    monkeypatch.setattr(cache, "vector_folder", homeless)
    assert encode_cached(encoder, TEXTS).shape == (20, 4)


def test_when_the_disk_is_full_encoding_goes_on(encoder, again, monkeypatch):
    monkeypatch.setattr(cache, "_TEXTS_PER_COMMIT", 4)
    opened = cache._VectorCache._open

    def small(self):
        opened(self)
        pages = self._database.execute("PRAGMA page_count").fetchone()[0]
        self._database.execute(f"PRAGMA max_page_count = {pages + 1}")

    monkeypatch.setattr(cache._VectorCache, "_open", small)
    encoder.dim = again.dim = 700
    lines: list[str] = []
    vectors = encode_cached(encoder, TEXTS, notify=lines.append)
    np.testing.assert_array_equal(vectors, np.stack([encoder.vector(text) for text in TEXTS]))
    assert len(lines) == 1
    assert "database or disk is full" in lines[0]
    np.testing.assert_array_equal(encode_cached(again, TEXTS), vectors)


def test_a_locked_file_is_waited_for_and_then_done_without(encoder, again, monkeypatch, vector_folder):
    encode_cached(encoder, TEXTS[:2])
    blocker = sqlite3.connect(_file(vector_folder), check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, blocker.rollback)
    release.start()
    encode_cached(encoder, TEXTS[:4])
    release.join()
    blocker.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(cache, "_PATIENCE", 0.05)
    lines: list[str] = []
    assert encode_cached(again, TEXTS, notify=lines.append).shape == (20, 4)
    assert len(lines) == 1
    assert "locked" in lines[0]
    blocker.close()
    again.asked.clear()
    encode_cached(again, TEXTS[:4])
    assert again.asked == []


def test_two_at_once_keep_what_both_found(encoder, again, monkeypatch):
    monkeypatch.setattr(cache, "_TEXTS_PER_COMMIT", 2)
    halves = (TEXTS[:12], TEXTS[8:])
    threads = [
        threading.Thread(target=encode_cached, args=pair)
        for pair in zip((encoder, again), halves, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    encoder.asked.clear()
    encode_cached(encoder, TEXTS)
    assert encoder.asked == []


def test_a_model_that_changed_its_length_is_refused(encoder, again, vector_folder):
    encode_cached(encoder, TEXTS[:5])
    again.dim = 6
    with pytest.raises(LexicellError, match=r"length 6.* 4") as caught:
        encode_cached(again, TEXTS)
    assert str(_file(vector_folder)) in str(caught.value)


def test_looking_changes_nothing(encoder, vector_folder):
    assert known_vectors(encoder, TEXTS) == (set(), None)
    assert list(vector_folder.iterdir()) == []
    encode_cached(encoder, TEXTS[:3])
    before = _file(vector_folder).read_bytes()
    assert known_vectors(encoder, TEXTS) == (set(TEXTS[:3]), 4)
    assert _file(vector_folder).read_bytes() == before
    _file(vector_folder).write_bytes(b"garbage" * 1000)
    assert known_vectors(encoder, TEXTS) == (set(), None)
    assert _file(vector_folder).read_bytes() == b"garbage" * 1000


def test_the_file_tells_which_encoder_it_is_of_and_holds_no_text(encoder, vector_folder):
    encode_cached(encoder, TEXTS)
    content = _file(vector_folder).read_bytes()
    assert b"counting" in content
    assert b"text 1" not in content
    assert _file(vector_folder).stem.isalnum()


def test_a_real_encoder_gives_the_same_bits_however_texts_are_divided(minilm, small_table):
    texts = read_gene_texts(small_table).texts
    whole = encode_cached(minilm, texts, keep=False)
    for some in (texts[::3], texts[5:9], texts[::2]):
        encode_cached(minilm, some)
    np.testing.assert_array_equal(encode_cached(minilm, texts), whole)
