"""Loading a text encoder by its name."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lexicell.errors import InputError, InputNotFoundError
from lexicell.lexicon.encoders.encoder import Encoder, EncoderOptions
from lexicell.lexicon.encoders.model_files import MODELS, ModelSpec
from lexicell.lexicon.encoders.onnx_encoder import OnnxTextEncoder
from lexicell.lexicon.encoders.onnx_export import exported_encoder, find_encoder
from lexicell.lexicon.encoders.quantise import quantised_encoder
from lexicell.lexicon.session import require_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexicell.lexicon.encoders.onnx_export import FoundEncoder

__all__ = ["load_encoder"]

_HUB_NAME = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def load_encoder(
    name: str,
    options: EncoderOptions | None = None,
    *,
    notify: Callable[[str], None] | None = None,
) -> Encoder:
    """Load a text encoder by name; the first time, its model is exported to ONNX and cached.

    Parameters
    ----------
    name
        ``minilm`` (sentence-transformers/all-MiniLM-L6-v2, 384 dimensions), ``biobert``
        (dmis-lab/biobert-v1.1, 768), ``scibert`` (allenai/scibert_scivocab_uncased, 768); any other
        encoder on the model hub as ``owner/model`` or ``owner/model@revision``; a folder with a model's
        files; or ``openai:MODEL`` for a service.
    options
        How it is run.
    notify
        Called with one line before work that takes seconds, and with how exact int8 is.

    Raises
    ------
    InputError
        If the name is unknown, the model is of a kind that cannot be run, or an option does not fit it.
    InputNotFoundError
        If the model's files are nowhere.
    CorruptDataError
        If a file of the model is damaged, or holds more than weights.
    MissingExtraError
        If a package of the extra ``encoders`` is needed and not installed.
    WriteError
        If the exported model cannot be kept.
    """
    options = options or EncoderOptions()
    if name.startswith("openai:"):
        from lexicell.lexicon.encoders.openai import open_service

        return open_service(name.removeprefix("openai:"), options, notify)
    spec = _model_spec(name, options.folder)
    if options.dimensions is not None:
        message = f"Only a service shortens its vectors: leave dimensions out for the encoder {name}."
        raise InputError(message)
    if options.precision == "int8" and options.device != "cpu":
        message = "The precision int8 is for CPUs: use float32 on a GPU."
        raise InputError(message)
    require_device(options.device)
    model = find_encoder(spec, notify)
    pooling = options.pooling or _shipped_pooling(model)
    max_tokens = _max_tokens(model, options.max_tokens)
    exported = exported_encoder(model, notify)
    encoder = OnnxTextEncoder(
        id=spec.id,
        revision=exported.revision,
        graph=exported.graph,
        tokenizer=exported.tokenizer,
        max_tokens=max_tokens,
        pooling=pooling,
        long_text=options.long_text,
        device=options.device,
    )
    encoder.check()
    if options.precision == "float32":
        return encoder
    quantised = quantised_encoder(exported, notify)
    return replace(encoder, graph=quantised.graph, precision="int8", float32=encoder, notify=notify)


def _model_spec(name: str, folder: Path | None) -> ModelSpec:
    """What a name stands for: a model known by name, the user's folder, or a model on the hub."""
    if name in MODELS:
        return replace(MODELS[name], folder=folder)
    local = Path(os.path.expanduser(name))  # noqa: PTH111  # Path's own raises where there is no such home
    if local.is_dir():
        if folder is not None:
            message = f"{name} is a folder itself: leave the encoder's folder {folder} out."
            raise InputError(message)
        return ModelSpec(id=local.resolve().name, folder=local)
    if name.startswith(("/", ".", "~")):
        message = f"There is no folder {name}: name the one that holds the encoder's files."
        raise InputNotFoundError(message)
    if match := _HUB_NAME.fullmatch(name):
        return ModelSpec(id=match["id"], hub_revision=match["revision"], folder=folder)
    close = difflib.get_close_matches(name, MODELS, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    message = (
        f"There is no encoder {name!r}; there are {', '.join(MODELS)}, models on the hub (owner/model), "
        f"folders with a model's files (./folder), and openai:MODEL.{hint}"
    )
    raise InputError(message)


def _shipped_pooling(model: FoundEncoder) -> Literal["mean", "cls"]:
    pooling = model.use.pooling
    if pooling == "mean":
        return "mean"
    if pooling == "cls":
        return "cls"
    message = (
        f"The authors of {model.spec.id} turn token vectors into one by {pooling}, which lexicell cannot do: "
        "choose the pooling mean or cls (--pooling), or another model."
    )
    raise InputError(message)


def _max_tokens(model: FoundEncoder, max_tokens: int | None) -> int:
    if max_tokens is None:
        return model.use.max_tokens
    if max_tokens > model.use.max_positions:
        message = (
            f"{model.spec.id} sees at most {model.use.max_positions} tokens at once, and max_tokens asks for "
            f"{max_tokens}: ask for fewer; longer texts are cut into windows."
        )
        raise InputError(message)
    return max_tokens
