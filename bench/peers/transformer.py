"""all-MiniLM-L6-v2 as its authors run it: padded batches in torch, the mean over the tokens."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicell.lexicon.encoders.hub import find_model
from lexicell.lexicon.encoders.model_files import MODELS
from lexicell.lexicon.encoders.transformer import _silence

__all__ = ["Encode", "load"]

_BATCH, _MOST_TOKENS = 32, 256  # the defaults of sentence-transformers and of this model

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


def load(*, sort: bool) -> Encode:
    """Load the model once; what is returned makes texts into unit vectors, ``[n, 384]`` float32.

    Parameters
    ----------
    sort
        Batch texts of similar length, as sentence-transformers does, or in the order they come in.
    """
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    folder = find_model(MODELS["minilm"]).folder
    with _silence():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i])) if sort else list(range(len(texts)))
        vectors = np.empty((len(texts), model.config.hidden_size), np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                given = tokenizer(
                    [texts[i] for i in batch],
                    padding=True,
                    truncation=True,
                    max_length=_MOST_TOKENS,
                    return_tensors="pt",
                )
                hidden = model(**given).last_hidden_state
                mask = given["attention_mask"][..., None].to(hidden.dtype)
                mean = (hidden * mask).sum(1) / mask.sum(1)
                vectors[batch] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors

    return encode
