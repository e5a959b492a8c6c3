"""Writes the vectors of the sentences about cell types that come with the package.

``python lexicons/cell_types.py``, after a change of ``words/data/cell_types.tsv`` or of the bundled lexicon's
encoder; seconds.
"""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import save

from lexicell.embedding.events import ignore
from lexicell.lexicon import Lexicon
from lexicell.words.descriptions import shipped_types
from lexicell.words.encoding import VECTORS, encoder_of, vectors_metadata


def main() -> None:
    """Encode, write."""
    encoder = encoder_of(Lexicon.open("human-go-minilm"), ignore)
    vectors = encoder.encode([kind.sentence for kind in shipped_types()]).astype(np.float16)
    data = save({"vectors": vectors}, vectors_metadata(encoder.info))
    # safetensors writes metadata in any order: sort the header, so that the same vectors are the same file.
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    VECTORS.write_bytes(data[:8] + header.ljust(end - 8) + data[end:])
    print(f"{VECTORS}: {len(vectors)} x {vectors.shape[1]}")


if __name__ == "__main__":
    main()
