"""From a table of gene texts to a lexicon."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lexicell.errors import InputError
from lexicell.lexicon.encoders.encoder import Encoder, EncoderOptions, ProgressCallback
from lexicell.lexicon.encoders.loading import load_encoder
from lexicell.lexicon.encoders.model_files import MODELS
from lexicell.lexicon.encoders.openai import PRICES_AS_OF, SERVICE_PREFIX, OpenAIEncoder
from lexicell.lexicon.encoders.vector_cache import encode_cached, known_vectors
from lexicell.lexicon.encoders.windows import Workload
from lexicell.lexicon.lexicon import Lexicon
from lexicell.lexicon.manifest import TextInfo
from lexicell.lexicon.text.reading import GeneTexts, TextOptions, read_gene_texts, read_orthologues
from lexicell.lexicon.write import check_output, write_lexicon

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lexicell.lexicon.table import TableDtype

__all__ = ["BuildPlan", "build_lexicon", "plan_build"]

_ITEMSIZE: Mapping[str, int] = {"float16": 2, "float32": 4}
_MILLION = 1_000_000


@runtime_checkable
class _Sized(Protocol):
    """An encoder that knows the length of its vectors before it gives one."""

    @property
    def dim(self) -> int | None: ...


@runtime_checkable
class _Planned(Protocol):
    """An encoder that knows how much there is to do before it does it."""

    def workload(self, texts: Sequence[str]) -> Workload: ...


@dataclass(frozen=True)
class BuildPlan:
    """What a build would do; nothing was encoded for it, and no server contacted.

    Attributes
    ----------
    table
        Where genes and texts are from.
    genes, texts
        Rows of the lexicon, and different texts among theirs.
    recipe
        What became the text.
    flags
        What texts lack -> genes.
    encoder
        Which model encodes.
    cached, to_encode
        Texts that it encoded before, and those that are left; None where the encoder is only fetched by a
        build.
    windows, tokens, requests
        Pieces that the texts left to encode are cut into, their tokens (estimated for a service), and
        requests to a service; None where they are not known.
    price, price_as_of, cost
        US dollars per million tokens, the year in which that was noted here, and the cost of all; None
        where unknown.
    dim, vector_bytes
        Length of a vector, and size of all vectors in the lexicon; None where only encoding shows it.
    """

    table: str
    genes: int
    texts: int
    recipe: str
    flags: Mapping[str, int]
    encoder: str
    cached: int | None = None
    to_encode: int | None = None
    windows: int | None = None
    tokens: int | None = None
    requests: int | None = None
    price: float | None = None
    price_as_of: str | None = None
    cost: float | None = None
    dim: int | None = None
    vector_bytes: int | None = None

    def describe(self) -> dict[str, Any]:
        """Return the plan as plain values, for people and for ``--json``; without what does not apply."""
        facts = {name: value for name, value in asdict(self).items() if value is not None}
        if self.requests is not None and self.cost is None:
            facts["cost"] = "price unknown"
        return facts


def build_lexicon(
    table: str | Path,
    out: str | Path,
    *,
    encoder: str | Encoder = "minilm",
    encoder_options: EncoderOptions | None = None,
    texts: TextOptions | None = None,
    orthologues: str | Path | None = None,
    name: str | None = None,
    organism: str | None = None,
    source: str | None = None,
    source_date: str | None = None,
    licence: str | None = None,
    attribution: str | None = None,
    dtype: TableDtype = "float16",
    notes: Mapping[str, bytes] | None = None,
    cache: bool = True,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
    notify: Callable[[str], None] | None = None,
) -> Lexicon:
    """Encode a table of gene texts and write a lexicon.

    The same table, options and encoder give the same bytes, wherever the rows stand in the file, and
    whether vectors come from the encoder or, computed before, from the cache.

    Parameters
    ----------
    table
        TSV, CSV (both may be gzipped) or Parquet, see `read_gene_texts`; ``genes.parquet`` of a
        lexicon rebuilds that lexicon.
    out
        Folder to create.
    encoder
        Name of a text encoder, or an encoder.
    encoder_options
        How the named encoder is run.
    texts
        Which columns of the table hold what, and what becomes the text.
    orthologues
        CSV of (human symbol, mouse symbol), see `read_orthologues`.
    name
        What to call the lexicon; by default the name of `out`.
    organism
        Species whose symbols the table uses; by default what the table says, else "human".
    source, source_date, licence, attribution
        Where the texts come from, for the manifest; by default what the table says, else the file's name
        and nothing.
    dtype
        Storage type of the vectors, "float16" or "float32".
    notes
        Further files for people ("NOTICE.md") to put into the folder.
    cache
        Whether vectors are kept in the cache folder and taken from there, see `encode_cached`.
    overwrite
        Whether to replace a lexicon at `out`.
    progress
        Called with (texts done, all texts) while encoding.
    notify
        Called with one line before work that takes seconds, and where rows are left out.

    Returns
    -------
    Lexicon
        Opened at `out`.

    Raises
    ------
    OutputExistsError
        If `out` exists and is not to be replaced; before anything is encoded.
    InputError
        If the table or an option cannot be used.
    CorruptDataError
        If an input file is truncated.
    MissingExtraError
        If a package of the extra ``encoders`` is needed and not installed.
    WriteError
        If `out` cannot be written; the vectors are then in the cache.
    LexicellError
        If a service cannot be reached or does not answer as it should.
    """
    target = Path(out)
    check_output(target, overwrite=overwrite)
    if isinstance(encoder, str) and encoder.startswith(SERVICE_PREFIX):
        encoder = load_encoder(encoder, encoder_options, notify=notify)
    if isinstance(encoder, OpenAIEncoder):
        encoder.check()  # before a large table is read
    genes = _read(table, texts, orthologues, notify)
    if isinstance(encoder, str):
        encoder = load_encoder(encoder, encoder_options, notify=notify)
    vectors = encode_cached(encoder, genes.texts, progress=progress, notify=notify, keep=cache)
    text_info = genes.info or TextInfo(source=Path(table).name)
    return write_lexicon(
        target,
        genes.table,
        vectors,
        name=name or target.resolve().name,
        organism=organism or genes.organism or "human",
        text=TextInfo(
            source=source or text_info.source,
            date=text_info.date if source_date is None else source_date,
            licence=text_info.licence if licence is None else licence,
            attribution=text_info.attribution if attribution is None else attribution,
            recipe=genes.recipe,
        ),
        encoder=encoder.info,
        dtype=dtype,
        notes=notes,
        overwrite=overwrite,
    )


def plan_build(
    table: str | Path,
    *,
    encoder: str | Encoder = "minilm",
    encoder_options: EncoderOptions | None = None,
    texts: TextOptions | None = None,
    orthologues: str | Path | None = None,
    dtype: TableDtype = "float16",
    price: float | None = None,
    cache: bool = True,
    notify: Callable[[str], None] | None = None,
) -> BuildPlan:
    """Read a table as `build_lexicon` would, and estimate what encoding it takes.

    Parameters
    ----------
    table, encoder, encoder_options, texts, orthologues, dtype, cache, notify
        As for `build_lexicon`.
    price
        US dollars per million tokens, for a service whose price is not known here.

    Returns
    -------
    BuildPlan
        Its tokens, and with them the cost, are an estimate.

    Raises
    ------
    InputError
        If the table or an option cannot be used.
    CorruptDataError
        If an input file is truncated.
    MissingExtraError
        If a package of the extra ``encoders`` is needed and not installed.
    """
    if price is not None and not (math.isfinite(price) and price >= 0):
        message = f"A price is a number of US dollars per million tokens, not {price}."
        raise InputError(message)
    options = encoder_options or EncoderOptions()
    if isinstance(encoder, str) and encoder.startswith(SERVICE_PREFIX):
        encoder = load_encoder(encoder, options, notify=notify)
    genes = _read(table, texts, orthologues, notify)
    unique_texts = list(dict.fromkeys(genes.texts))
    facts: dict[str, Any] = {
        "table": str(table),
        "genes": genes.table.num_rows,
        "texts": len(unique_texts),
        "recipe": genes.recipe,
        "flags": dict(genes.flags),
    }
    if isinstance(encoder, str):
        if _needs_fetching(encoder, options):
            return BuildPlan(**facts, encoder=encoder)
        encoder = load_encoder(encoder, options, notify=notify)
    cached, dim = known_vectors(encoder, unique_texts) if cache else (set(), None)
    uncached = [text for text in unique_texts if text not in cached]
    if isinstance(encoder, _Planned):
        facts |= asdict(encoder.workload(uncached))
    if isinstance(encoder, OpenAIEncoder):
        price_as_of = PRICES_AS_OF if price is None and encoder.price is not None else None
        price = encoder.price if price is None else price
        cost = None if price is None else facts["tokens"] * price / _MILLION
        facts |= {"price": price, "price_as_of": price_as_of, "cost": cost}
    if dim is None and isinstance(encoder, _Sized):
        dim = encoder.dim
    return BuildPlan(
        **facts,
        encoder=encoder.info.id,
        cached=len(cached),
        to_encode=len(uncached),
        dim=dim,
        vector_bytes=None if dim is None else genes.table.num_rows * dim * _ITEMSIZE[dtype],
    )


def _read(
    table: str | Path,
    texts: TextOptions | None,
    orthologues: str | Path | None,
    notify: Callable[[str], None] | None,
) -> GeneTexts:
    pairs = read_orthologues(orthologues) if orthologues is not None else None
    genes = read_gene_texts(table, texts, orthologues=pairs)
    left_out = [(genes.n_empty, "without a text"), (genes.n_unnamed, "without id and symbol")]
    left_out += [(n, f"whose text is {flag}") for flag, n in genes.dropped.items()]
    clauses = [f"{n:,} {reason}" for n, reason in left_out if n]
    if notify is not None and clauses:
        summary = f"{', '.join(clauses[:-1])} and {clauses[-1]}" if len(clauses) > 1 else clauses[0]
        notify(f"Of {genes.n_read:,} rows, {summary} were left out")
    return genes


def _needs_fetching(name: str, options: EncoderOptions) -> bool:
    """Whether loading an encoder may download it."""
    if options.folder is not None or Path(name).is_dir():
        return False
    if name in MODELS:
        return MODELS[name].package is None
    return "/" in name and not name.startswith(("/", ".", "~"))
