"""Models and tokenizers read through transformers, with no code of theirs ever run."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lexicell.errors import CorruptDataError, LexicellError, MissingExtraError, needing
from lexicell.lexicon.encoders.model_config import architecture
from lexicell.lexicon.encoders.model_files import PICKLED, TOKENIZER, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lexicell.lexicon.encoders.model_files import ModelFiles

__all__ = ["export_graph", "save_tokenizer"]

# Parts of a model that its token vectors do not pass through.
_UNUSED = ("pooler.",)


def export_graph(files: ModelFiles, target: Path) -> None:
    """Write the graph ``input_ids int64 [n, t] -> hidden float32 [n, t, d]`` of a model.

    Weights beyond 1.5 GB are written beside `target`, since a graph's own file ends at 2 GB.

    Raises
    ------
    InputError
        If the model is of a kind that cannot be run.
    CorruptDataError
        If its weights are damaged, incomplete, or more than weights.
    MissingExtraError
        If torch or transformers is not installed.
    OSError
        If `target` cannot be written.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import onnxscript  # noqa: F401  # torch imports it late, and then fails in many words
            import torch
            import transformers  # noqa: F401  # as onnxscript
    except ImportError as error:
        raise MissingExtraError.of(extra="encoders", why="Exporting a text encoder") from error

    with _silence():
        model = _load(files)

        class Hidden(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
                hidden: torch.Tensor = self.model(input_ids=input_ids).last_hidden_state
                return hidden

        # More than one of each, or the exporter specialises the graph to a single text or token.
        token = 5 if model.config.pad_token_id != 5 else 6
        program = torch.onnx.export(
            Hidden().eval(),
            (torch.full((3, 7), token, dtype=torch.int64),),
            dynamo=True,
            dynamic_shapes={"input_ids": {0: "texts", 1: "tokens"}},
            input_names=["input_ids"],
            output_names=["hidden"],
            verbose=False,
        )
        if program is None:  # pragma: no cover - only without dynamo
            message = "torch exported no ONNX program; please report this with your torch version."
            raise LexicellError(message)
        program.save(str(target), external_data=False)


def save_tokenizer(files: ModelFiles, target: Path) -> None:
    """Write a model's tokenizer as one ``tokenizer.json`` of the package ``tokenizers``.

    Raises
    ------
    CorruptDataError
        If its files are damaged, or of another model.
    MissingExtraError
        If a package is needed and not installed.
    OSError
        If `target` cannot be written.
    """
    with needing("encoders", "Exporting a text encoder"):
        from tokenizers import Tokenizer
    if files.tokenizer == (TOKENIZER,):
        shutil.copyfile(files.folder / TOKENIZER, target)
    else:
        _convert_tokenizer(files, target)
    names = ", ".join(files.tokenizer)
    try:
        content = json.loads(target.read_bytes())
        normaliser = content.get("normalizer") or {}
        if files.lower_case is not None and normaliser.get("lowercase") not in (None, files.lower_case):
            normaliser["lowercase"] = files.lower_case
            target.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        tokenizer = Tokenizer.from_file(str(target))
        tokenizer.encode("a gene, β 🧬")  # fails where the token for unknown words is itself unknown
        tokens = max(tokenizer.get_vocab().values(), default=0) + 1
    except Exception as error:  # the package raises its own, with no base but Exception
        message = f"The tokenizer in {files.folder} ({names}) cannot be read ({error}); fetch it again."
        raise CorruptDataError(message) from error
    rows = files.config.get("vocab_size")
    if isinstance(rows, int) and tokens > rows:
        message = (
            f"The tokenizer in {files.folder} ({names}) knows {tokens:,} tokens and the model {rows:,}: they "
            "are of two models; fetch both again."
        )
        raise CorruptDataError(message)


def _convert_tokenizer(files: ModelFiles, target: Path) -> None:
    with needing("encoders", "Exporting a text encoder"):
        from transformers import AutoTokenizer
    options = {} if files.lower_case is None else {"do_lower_case": files.lower_case}
    with _silence():
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                files.folder, config=_config(files), local_files_only=True, trust_remote_code=False, **options
            )
            text = tokenizer.backend_tokenizer.to_str()
        except Exception as error:
            names = ", ".join(files.tokenizer)
            message = (
                f"The tokenizer in {files.folder} ({names}) cannot be read ({_line(error)}); fetch it again."
            )
            raise CorruptDataError(message) from error
    target.write_text(text, encoding="utf-8")


def _config(files: ModelFiles) -> Any:
    from transformers import AutoConfig

    content = {key: value for key, value in files.config.items() if key not in ("model_type", "auto_map")}
    try:
        return AutoConfig.for_model(architecture(files), **content)
    except LexicellError:
        raise
    except Exception as error:
        message = f"{files.folder / 'config.json'} describes no model ({_line(error)}); fetch it again."
        raise CorruptDataError(message) from error


def _load(files: ModelFiles) -> Any:
    import pickle

    import torch
    from transformers import AutoModel

    config = _config(files)
    names = ", ".join(files.weights)
    try:
        # Eager attention: measured here, ONNX Runtime runs it 1.3x faster than the exported SDPA, and
        # a text's vector then has the same bits whatever the batch it is encoded in.
        model, report = AutoModel.from_pretrained(
            files.folder,
            config=config,
            attn_implementation="eager",
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=files.weights != (PICKLED,),
            weights_only=True,
            output_loading_info=True,
        )
    except pickle.UnpicklingError as error:
        message = (
            f"{files.folder / PICKLED} holds more than weights, or is damaged; lexicell never runs what a "
            f"pickle holds: fetch it again, or use {WEIGHTS}."
        )
        raise CorruptDataError(message) from error
    except Exception as error:
        message = (
            f"The weights in {files.folder} ({names}) cannot be read ({_line(error)}); fetch them again."
        )
        raise CorruptDataError(message) from error
    # transformers fills what is missing with random numbers.
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(_UNUSED))
    if missing:
        message = (
            f"The weights in {files.folder} ({names}) lack {len(missing)} of the model's tensors "
            f"({missing[0]}): they are not those of its config.json; fetch both again."
        )
        raise CorruptDataError(message)
    return model


def _line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0].rstrip(". ")
    return text if text and len(text) < 200 else type(error).__name__


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's warnings, log lines and progress bars away from users."""
    from transformers.utils import logging as transformers_logging

    names = ("torch.onnx", "torch.export", "transformers", "onnxscript")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
