"""Sentences as vectors, by the encoder that made a lexicon; those of shipped sentences are shipped too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import blake3
import numpy as np
from numpy.typing import NDArray

from lexicell._files import reading_file
from lexicell.embedding import Listener, Note
from lexicell.errors import CorruptDataError, InputError, MissingExtraError
from lexicell.lexicon import UNKNOWN_POOLING, Encoder, EncoderInfo, EncoderOptions, Lexicon, load_encoder
from lexicell.lexicon.encoders.model_files import MODELS
from lexicell.lexicon.encoders.vector_cache import encode_cached
from lexicell.words.descriptions import RESTORE, shipped_types

__all__ = ["VECTORS", "encode_sentences", "encoder_of", "vectors_metadata"]

#: Vectors of the shipped sentences, float16 ``[n, 384]`` in their order; by ``lexicons/cell_types.py``.
VECTORS = Path(__file__).with_name("data") / "cell_types.safetensors"


def encode_sentences(
    sentences: Sequence[str], lexicon: Lexicon, listener: Listener
) -> NDArray[np.float32] | None:
    """Encode sentences by the encoder that a lexicon was made with.

    Parameters
    ----------
    sentences
        ``n`` texts. Shipped ones are not encoded where their vectors are by the lexicon's encoder.
    lexicon
        ``d`` is the length of its vectors.
    listener
        Is told what the encoder says, and seriously where there is none.

    Returns
    -------
    numpy.ndarray or None
        float32 ``[n, d]``; None where the encoder is not installed or not at hand, is another version than
        the one that made the lexicon, or the lexicon's vectors were made elsewhere.

    Raises
    ------
    CorruptDataError
        The package's own vectors, or a file of the encoder, are damaged.
    LexicellError
        What the encoder raises while it encodes.
    """
    about, shipped = _shipped_vectors()
    vectors = dict(shipped) if about == vectors_metadata(lexicon.info.encoder) else {}
    others = [sentence for sentence in dict.fromkeys(sentences) if sentence not in vectors]
    if others:
        try:
            encoder = encoder_of(lexicon, listener)
        except (MissingExtraError, InputError) as error:
            reason = f"genes are called up by the words of their texts alone (TF-IDF): {error}"
            listener(Note(reason, serious=True))
            return None
        made = encode_cached(encoder, others, notify=lambda text: listener(Note(text)))
        vectors.update(zip(others, made, strict=True))
    found = [vectors[sentence] for sentence in sentences]
    return np.array(found, np.float32).reshape(len(sentences), lexicon.dim)


def encoder_of(lexicon: Lexicon, listener: Listener) -> Encoder:
    """Load the encoder that made a lexicon.

    Parameters
    ----------
    lexicon
        Its manifest says which one, and how it was run.
    listener
        Is told before work that takes seconds.

    Raises
    ------
    InputError
        The lexicon's vectors were made elsewhere, or by another version of the encoder than is here, or the
        encoder's files are nowhere.
    MissingExtraError
        A package of the extra ``encoders`` is needed and not installed.
    """
    info = lexicon.info.encoder
    if info.pooling == UNKNOWN_POOLING:
        msg = f"the vectors of {lexicon.name} were made elsewhere, so no other text can be encoded like them"
        raise InputError(msg)
    name = next((name for name, spec in MODELS.items() if spec.id == info.id), info.id)
    options = EncoderOptions(long_text=info.long_text, precision=info.precision, dimensions=info.dimensions)
    if not name.startswith("openai:"):  # a service pools by itself
        pooling: Literal["cls", "mean"] = "cls" if info.pooling == "cls" else "mean"
        options = replace(options, pooling=pooling, max_tokens=info.max_tokens)
    encoder = load_encoder(name, options, notify=lambda text: listener(Note(text)))
    if info.revision and encoder.info.revision != info.revision:
        msg = (
            f"the encoder {info.id} here is another version ({encoder.info.revision}) than the one that made "
            f"{lexicon.name} ({info.revision}); install that one"
        )
        raise InputError(msg)
    return encoder


def vectors_metadata(encoder: EncoderInfo) -> dict[str, str]:
    """Return what `VECTORS` says of itself if `encoder` made it of the sentences that are shipped now."""
    return {
        "encoder": encoder.id,
        "revision": encoder.revision,
        "pooling": encoder.pooling,
        "max_tokens": str(encoder.max_tokens),
        "blake3": _hash_of_sentences(),
    }


@cache
def _shipped_vectors() -> tuple[dict[str, str], dict[str, NDArray[np.float32]]]:
    """Metadata of `VECTORS`, and float32 ``[d]`` by sentence."""
    from safetensors import safe_open

    sentences = [kind.sentence for kind in shipped_types()]
    with reading_file(VECTORS, RESTORE):
        with safe_open(VECTORS, "numpy") as file:
            about, vectors = file.metadata() or {}, file.get_tensor("vectors")
        if about.get("blake3") != _hash_of_sentences():
            msg = f"{VECTORS} has the vectors of other sentences than those of cell_types.tsv; {RESTORE}"
            raise CorruptDataError(msg)
        return about, dict(zip(sentences, vectors.astype(np.float32), strict=True))


def _hash_of_sentences() -> str:
    return blake3.blake3("\n".join(kind.sentence for kind in shipped_types()).encode()).hexdigest()
