"""What a model can see, and how its authors turn token vectors into one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexicell.errors import CorruptDataError, InputError
from lexicell.lexicon.encoders.model_files import load_json, read_json

if TYPE_CHECKING:
    from lexicell.lexicon.encoders.model_files import ModelFiles, ModelSpec

__all__ = ["ModelUse", "architecture", "known_use", "shipped_use"]

#: Encoders that see every token in both directions and take token ids alone.
ARCHITECTURES = (
    "albert", "bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta",
)  # fmt: skip
# Their positions count from the padding token's id + 1.
_OFFSET_POSITIONS = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta"})
# Tokenizers without a limit say so with a number like 1e30.
_NO_LIMIT = 10**6
# Steps after the transformer that lexicell takes as well.
_STEPS = frozenset({"Transformer", "Pooling", "Normalize"})


@dataclass(frozen=True)
class ModelUse:
    """How a model is used.

    Attributes
    ----------
    pooling
        As its authors ship it: "mean", "cls", or what else in their words; "mean" where they say nothing.
    max_tokens
        Tokens that its authors let it see at once, special tokens included.
    max_positions
        Tokens that it can see at once, special tokens included.
    """

    pooling: str
    max_tokens: int
    max_positions: int


def architecture(files: ModelFiles) -> str:
    """Kind of a model, one of `ARCHITECTURES`.

    Raises
    ------
    InputError
        If it is another.
    """
    config = files.config
    # SciBERT is older than this key, and so are others of its kind.
    kind = config.get("model_type", "bert" if "type_vocab_size" in config else None)
    if kind not in ARCHITECTURES or config.get("is_decoder") or config.get("is_encoder_decoder"):
        message = (
            f"{files.folder} holds a model of the kind {kind!r}, and lexicell runs encoders of the kinds "
            f"{', '.join(ARCHITECTURES)}: choose another model."
        )
        raise InputError(message)
    return str(kind)


def known_use(spec: ModelSpec) -> ModelUse | None:
    """Use of a model whose published files are known, or None."""
    if spec.pooling is None or spec.max_tokens is None or spec.max_positions is None:
        return None
    return ModelUse(spec.pooling, spec.max_tokens, spec.max_positions)


def shipped_use(files: ModelFiles) -> ModelUse:
    """Use of a model as its files say it.

    Raises
    ------
    InputError
        If it is a model that cannot be run.
    CorruptDataError
        If a file cannot be read.
    """
    can = _max_positions(files)
    shipped = files.folder / "sentence_bert_config.json"
    limits = [read_json(shipped).get("max_seq_length")] if shipped.is_file() else []
    limits.append(files.tokenizer_config.get("model_max_length"))
    lengths = [int(limit) for limit in limits if isinstance(limit, int | float) and 2 < limit < _NO_LIMIT]
    return ModelUse(_pooling(files), min([can, *lengths]), can)


def _max_positions(files: ModelFiles) -> int:
    kind, config = architecture(files), files.config
    # Where a file leaves a key out, its kind's default holds.
    positions = config.get("max_position_embeddings", 512)
    padding = config.get("pad_token_id", 1)
    offset = padding + 1 if kind in _OFFSET_POSITIONS and isinstance(padding, int) else 0
    if not isinstance(positions, int) or positions - offset < 3:
        message = f"{files.folder / 'config.json'} allows no text: max_position_embeddings is {positions!r}."
        raise InputError(message)
    return positions - offset


def _pooling(files: ModelFiles) -> str:
    """Pooling as sentence-transformers' files say it, in either of their forms."""
    folder = "1_Pooling"
    listed = files.folder / "modules.json"
    if listed.is_file():
        try:
            steps = {step["type"].rpartition(".")[2]: step["path"] for step in load_json(listed)}
        except (KeyError, TypeError, AttributeError) as error:
            message = f"{listed} does not list the steps of a model; fetch it again."
            raise CorruptDataError(message) from error
        if further := sorted(set(steps) - _STEPS):
            return " + ".join(["pooling", *further])
        folder = steps.get("Pooling", folder)
    config = files.folder / folder / "config.json"
    if not config.is_file():
        return "mean"
    content = read_json(config)
    modes: Any = content.get("pooling_mode")
    if modes is None:
        modes = [key for key, value in content.items() if key.startswith("pooling_mode_") and value is True]
    names = [
        str(mode).removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for mode in ([modes] if isinstance(modes, str) else modes)
    ]
    return " + ".join(names) or "mean"
