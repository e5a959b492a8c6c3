"""``lexicell train``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lexicell.cli import _console
from lexicell.cli import _options as opt

if TYPE_CHECKING:
    from lexicell.learn.settings import TrainSettings

__all__ = ["sparkline", "train"]

_LEVELS = "▁▂▃▄▅▆▇█"
#: Rounds that a line shows at most.
_WIDTH = 40
#: Of a training that ended with the last good weights.
_DIVERGED = 3


def train(
    data: opt.DataList,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the projection.")],
    label: Annotated[
        str | None,
        typer.Option(help="Column of obs with the classes; infonce, loadings, ridge and cpca do without."),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="What is learned: loadings, bridge, supcon, infonce, semi, cross-entropy, ridge or cpca."
        ),
    ] = "loadings",
    batch_key: Annotated[
        str | None,
        typer.Option(help="Column of obs with batches; cells are told apart within their own only."),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|COLUMN=VALUE", help="Of cpca: other cells, or those with this value in obs."
        ),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Of cpca: how much the background counts. Default: 1.")
    ] = None,
    lexicon: opt.LexiconName = "human-go-minilm",
    atlas: opt.Atlas = "bundled",
    through: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Of bridge: cells that have measured the genes of both panels."),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", "-k", min=1, help="Genes per cell, the highest first. Default: all chosen."),
    ] = None,
    n_top_genes: Annotated[
        int, typer.Option(min=0, help="The most variable genes, which are used; 0 for all.")
    ] = 4_000,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of training. Default: 200.")] = None,
    rate: Annotated[float | None, typer.Option(help="Highest learning rate. Default: 0.003.")] = None,
    dim: Annotated[
        int | None, typer.Option(min=1, help="Dimensions. Default: what the objective has.")
    ] = None,
    held_out: Annotated[
        float, typer.Option(help="Share of each class that only scores are made with; 0 for none.")
    ] = 0.2,
    seed: opt.Seed = 0,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None,
        typer.Option(help="Where to train. Default: a GPU if torch finds one."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to go on from after an interrupt. Default: OUT.partial.")
    ] = None,
    resume: opt.Resume = False,
    layer: opt.Layer = None,
    use_raw: opt.UseRaw = False,
    modality: opt.Modality = None,
    follow_links: opt.FollowLinks = False,
    values: opt.ValuesOption = None,
    gene_column: opt.GeneColumn = None,
    organism: opt.Organism = None,
    min_coverage: opt.MinCoverage = 0.5,
    mask_genes: opt.MaskGenes = None,
    genes: opt.Genes = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
) -> None:
    """Learn a projection from the cells of IN and write it to the folder OUT.

    `lexicell embed --projection OUT` then uses it, at the same speed as without. With --label, it also gets a
    classifier and scores on cells that it never saw.
    """
    from lexicell.learn.api import train as learn

    with _console.bar("training", "steps") as bar:
        made = learn(
            data, output, label=label, objective=objective, lexicon=lexicon,
            batch_key=batch_key, background=_background(background), alpha=alpha, atlas=atlas,
            through=through, top_k=top_k, n_top_genes=n_top_genes or None, dim=dim,
            settings=_settings(steps, rate), held_out=held_out, seed=seed, device=device,
            checkpoint=checkpoint, resume=resume,
            overwrite=overwrite, layer=layer,
            use_raw=use_raw, modality=modality, follow_links=follow_links, values=values,
            gene_column=gene_column, organism=organism, min_coverage=min_coverage,
            mask_genes=mask_genes or (), genes=genes, listener=_listen(bar),
        )  # fmt: skip
    if made.card["loss_curve"]:
        _draw(made.card, output)
    if as_json:
        _console.result_json({**made.card, "identity": made.identity, "output": str(output)})
    else:
        _console.facts(_facts(made.card, made.dim, output))
    if made.card["stopped"] == "diverged":
        raise typer.Exit(_DIVERGED)


def sparkline(values: Sequence[float]) -> str:
    """Draw numbers as one line of blocks, the lowest block for the least of them."""
    low, high = min(values), max(values)
    scale = (len(_LEVELS) - 1) / (high - low) if high > low else 0
    return "".join(_LEVELS[round((value - low) * scale)] for value in values)


def _background(asked: str | None) -> str | tuple[str, str] | None:
    if asked is None or "=" not in asked or Path(asked).exists():
        return asked
    column, _, value = asked.partition("=")
    return column, value


def _settings(steps: int | None, rate: float | None) -> TrainSettings | None:
    from lexicell.learn.settings import TrainSettings

    asked: dict[str, Any] = {"steps": steps, "rate": rate}
    given = {name: value for name, value in asked.items() if value is not None}
    return TrainSettings(**given) if given else None


def _listen(advance: _console.Bar) -> Any:
    """Print notes, and move the bar step by step; what is read before stands beside it."""
    from lexicell.embedding import Advanced, Event, Note

    def listener(event: Event) -> None:
        if isinstance(event, Note):
            _console.note(event.text)
        elif isinstance(event, Advanced) and event.decoded:
            advance(0, 1, f"reading cells: {event.done:,} of {event.total:,}")
        elif isinstance(event, Advanced):
            advance(event.done, event.total)

    return listener


def _facts(card: Mapping[str, Any], dim: int, output: Path) -> dict[str, Any]:
    facts = {"objective": card["objective"], "cells": card["cells"], "genes": card["genes"], "dim": dim}
    if "classes" in card:
        facts["classes"] = ", ".join(f"{name} ({n:,})" for name, n in card["classes"].items())
        facts["held-out_cells"] = card["scores"]["cells"]
    if "macro_f1" in card.get("scores", {}):
        scores = card["scores"]
        facts["held-out_macro-F1"] = f"{scores['macro_f1']:.3f}, accuracy {scores['accuracy']:.3f}"
    if card["loss_curve"]:
        facts["loss"] = _curve(card["loss_curve"])
        done = card["loss_curve"][-1]["step"]
        facts["steps"] = f"{done:,} ({card['stopped']}); the weights are those of step {card['step']:,}"
    facts["seconds"] = f"{card['seconds']:.1f}"
    facts["projection"] = str(output)
    return facts


def _curve(history: Sequence[Mapping[str, Any]]) -> str:
    """Loss as a line, and its first and last number; that of the validation cells where there are any."""
    key = "loss" if history[0]["validation"] is None else "validation"
    values = [float(entry[key]) for entry in history]
    step = -(-len(values) // _WIDTH)
    shown = [*values[:-1:step], values[-1]]
    beside = "" if key == "loss" else " on validation cells"
    return f"{sparkline(shown)}  {values[0]:.3f} -> {values[-1]:.3f}{beside}"


def _draw(card: Mapping[str, Any], folder: Path) -> None:
    """Draw the loss as ``loss.png`` beside the projection, where matplotlib is installed."""
    from lexicell import pl
    from lexicell.errors import MissingExtraError

    with suppress(MissingExtraError):
        pl.learning(card, show=False, save=folder / "loss.png")
