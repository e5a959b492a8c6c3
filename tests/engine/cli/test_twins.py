"""A verb, its function and what is written of both say the same: names, defaults, and what arrives."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import griffe
import pytest
import typer

import lexicell
from lexicell.annotation.api import SURE
from lexicell.cli import annotate, embed, evaluate, explain, import_embedding, pack, report, search, train
from lexicell.cli._app import app
from lexicell.embedding import DEFAULT_RECIPE, RECIPES, AlignOptions, Options
from lexicell.embedding.align import DEFAULT_LEXICON
from lexicell.evaluation import CellProtocol
from lexicell.evaluation.cells.cz import CZ_METHODS
from lexicell.learn import TrainSettings
from lexicell.learn.classify import fit_classifier
from lexicell.learn.closed_form import fit_contrastive_pca

#: Verb -> its command, its function, and where the command looks that up.
TWINS: Mapping[str, tuple[Callable[..., Any], Callable[..., Any], str]] = MappingProxyType({
    "embed": (embed.embed, lexicell.embed, "lexicell.embedding.embed"),
    "pack": (pack.pack, lexicell.pack, "lexicell.packing.pack"),
    "train": (train.train, lexicell.train, "lexicell.learn.api.train"),
    "annotate": (annotate.annotate, lexicell.annotate, "lexicell.annotation.annotate"),
    "explain": (explain.explain, lexicell.explain, "lexicell.explanation.explain"),
    "report": (report.report, lexicell.report, "lexicell.reporting.report"),
    "search": (search.search, lexicell.search, "lexicell.words.search"),
    "describe": (search.describe, lexicell.describe, "lexicell.words.describe"),
    "evaluate": (evaluate.evaluate, lexicell.evaluate, "lexicell.evaluation.evaluate"),
    "import-embedding": (
        import_embedding.import_embedding,
        lexicell.import_embedding,
        "lexicell.imports.import_embedding",
    ),
})  # fmt: skip

COMMANDS = typer.main.get_command(app)

#: Where a verb and its function differ, and why. One that no longer does is told too.
ONLY_TYPED = {
    **{(verb, "as_json"): "how the result is printed" for verb in TWINS},
    ("embed", "each"): "calls the function once for each input",
    ("embed", "rapids"): "has to come before pandas is imported",
    ("evaluate", "generated"): "calls `evaluate_generated`",
    ("evaluate", "generated_values"): "of `evaluate_generated`",
    ("train", "steps"): "a field of `settings`",
    ("train", "rate"): "a field of `settings`",
}
ONLY_CALLED = {
    **{(verb, "listener"): "the verb's own prints notes and moves a bar" for verb in TWINS},
    ("explain", "direction"): "numbers, of which there are hundreds",
    ("train", "settings"): "what most people want of it is --steps and --rate",
}
#: What the function has where the verb has None: typer's word for an option that may be repeated and was not
#: given.
NO_LIST = {
    **{(verb, "mask_genes"): () for verb in ("embed", "train", "annotate", "explain", "search", "evaluate")},
    ("embed", "obs_columns"): (),
    ("report", "obs_columns"): (),
    ("report", "color_genes"): (),
}
#: (verb, name) -> the verb's and the function's default.
OTHER_DEFAULTS = {
    ("train", "output"): (
        inspect.Parameter.empty,
        None,
        "a projection that no file holds is of use in Python only",
    ),
}
#: The verb does itself what the function would, to print it too.
NOT_HANDED_ON = {("embed", "profile")}
#: Typed in a form of its own: words, and what the function gets. 0 is None where that is not the default.
SPECIAL: Mapping[tuple[str, str], tuple[str | tuple[str, ...], Any]] = MappingProxyType({
    ("explain", "contrast"): (("a", "b"), ("a", "b")),
    ("train", "background"): ("batch=control", ("batch", "control")),
    ("train", "n_top_genes"): ("0", None),
    ("evaluate", "n"): ("7,9", (7, 9)),
    ("evaluate", "embeddings"): ("uce=a.h5ad#X_uce", {"uce": "a.h5ad#X_uce"}),
    ("evaluate", "methods"): ("paper, bridge", ["paper", "bridge"]),
    ("evaluate", "scenarios"): ("batches", ("batches",)),
    ("evaluate", "label_map"): ("map.json", {"T": "T cell"}),
    ("evaluate", "data"): ("one=a.h5ad", {"one": ["a.h5ad"]}),
})  # fmt: skip


def parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def of_verb(table: Any, verb: str) -> set[str]:
    return {name for one, name in table if one == verb}


@pytest.mark.parametrize("verb", TWINS)
def test_a_verb_has_the_parameters_of_its_function(verb: str) -> None:
    typed, called = (set(parameters(of)) for of in TWINS[verb][:2])
    assert typed - called == of_verb(ONLY_TYPED, verb)
    assert called - typed == of_verb(ONLY_CALLED, verb)


@pytest.mark.parametrize("verb", TWINS)
def test_a_verb_has_the_defaults_of_its_function(verb: str) -> None:
    typed, called = (parameters(of) for of in TWINS[verb][:2])
    differ = {
        (verb, name): (typed[name].default, called[name].default)
        for name in typed.keys() & called.keys()
        if typed[name].default != called[name].default
    }
    allowed = {key: (None, nothing) for key, nothing in NO_LIST.items()}
    allowed |= {key: (one, other) for key, (one, other, _) in OTHER_DEFAULTS.items()}
    assert differ == {key: both for key, both in allowed.items() if key[0] == verb}


class Called(Exception):  # noqa: N818 - it is no error
    """What a function was given, all defaults told, in place of its work."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(str(given))
        self.given = given


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Type a verb; return what its function was called with, by name."""
    monkeypatch.chdir(tmp_path)
    Path("map.json").write_text(json.dumps({"T": "T cell"}))

    def run(verb: str, *words: str) -> dict[str, Any]:
        _, function, place = TWINS[verb]

        def record(*args: Any, **options: Any) -> None:
            bound = inspect.signature(function).bind(*args, **options)
            bound.apply_defaults()
            raise Called(bound.arguments)

        monkeypatch.setattr(place, record)
        with pytest.raises(Called) as ended:
            COMMANDS([verb, *words], standalone_mode=False)
        return dict(ended.value.given)

    return run


@dataclass(frozen=True)
class Option:
    """An option or argument of a verb, by the name that Python has for it."""

    name: str
    default: Any
    hints: tuple[Any, ...]  # what a word becomes
    info: typer.models.ParameterInfo

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def choices(self) -> tuple[str, ...]:
        return next((get_args(hint) for hint in self.hints if get_origin(hint) is Literal), ())

    def typed(self, word: str | tuple[str, ...]) -> list[str]:
        words = [word] if isinstance(word, str) else list(word)
        if isinstance(self.info, typer.models.ArgumentInfo):
            return words
        names = (self.info.default, *(self.info.param_decls or ()))  # typer takes the first one for a default
        long = [str(name).split("/")[0] for name in names if str(name).startswith("--")]
        return [(long or [f"--{self.name.replace('_', '-')}"])[0], *words * (bool not in self.hints)]

    def other(self, verb: str) -> tuple[list[str], Any]:
        """What to type for another value than the default, and what is to arrive."""
        if (verb, self.name) in SPECIAL:
            word, value = SPECIAL[verb, self.name]
        elif bool in self.hints:
            word, value = "", not self.default
        elif self.choices:
            word = value = next(choice for choice in self.choices if choice != self.default)
        else:
            value = 7 if int in self.hints else 0.25 if float in self.hints else f"my-{self.name}"
            word, value = str(value), [value] if list[str] in self.hints else value
        assert value != self.default
        return self.typed(word), value


def options(verb: str) -> list[Option]:
    command = TWINS[verb][0]
    hints = get_type_hints(command, include_extras=True)
    found = []
    for name, parameter in parameters(command).items():
        hint, info = get_args(hints[name])
        parts = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
        found.append(Option(name, parameter.default, parts, info))
    return found


def plain(value: Any) -> Any:
    """A path as typed."""
    return str(value) if isinstance(value, Path) else value


def required(verb: str) -> tuple[list[str], dict[str, Any]]:
    """The least that is to be typed, and what is to arrive."""
    words, expected = [], {}
    for option in options(verb):
        if option.required:
            typed, expected[option.name] = option.other(verb)
            words += typed
    return words, expected


@pytest.mark.parametrize("verb", TWINS)
def test_what_is_not_typed_is_the_default_of_the_function(verb: str, arrived: Any) -> None:
    words, expected = required(verb)
    for name, parameter in parameters(TWINS[verb][1]).items():
        expected.setdefault(name, parameter.default)
    given = arrived(verb, *words) | {"listener": expected["listener"]}
    assert {name: plain(value) for name, value in given.items()} == expected


@pytest.mark.parametrize("verb", TWINS)
def test_what_is_typed_arrives(verb: str, arrived: Any) -> None:
    for option in options(verb):
        name = option.name
        if (verb, name) in ONLY_TYPED.keys() | NOT_HANDED_ON:
            continue
        words, expected = required(verb)
        if name not in expected:
            typed, expected[name] = option.other(verb)
            words += typed
        given = plain(arrived(verb, *words)[name])
        if isinstance(given, tuple) and isinstance(expected[name], list):
            given = list(given)
        assert given == expected[name], name


def test_steps_and_rate_arrive_in_the_settings(arrived: Any) -> None:
    words = ("a.h5ad", "out", "--steps", "7", "--rate", "0.25")
    assert arrived("train", *words)["settings"] == TrainSettings(steps=7, rate=0.25)


@pytest.mark.parametrize("verb", TWINS)
def test_all_exceptions_are_of_something_that_is_there(verb: str) -> None:
    typed, called = (set(parameters(of)) for of in TWINS[verb][:2])
    assert of_verb(SPECIAL, verb) | of_verb(NOT_HANDED_ON, verb) <= typed & called


#: What has keywords that mean the same; `tl.annotate` hands its own on.
FUNCTIONS = {verb: function for verb, (_, function, _) in TWINS.items()} | {
    "tl.embed": lexicell.tl.embed,
    "tl.annotate": lexicell.tl.annotate,
    "tl.explain": lexicell.tl.explain,
    "Options": Options,
    "AlignOptions": AlignOptions,
}
#: Keywords that differ, by what differs; and why.
DIFFERENT = {
    "query": "what is named (annotate), or classified by other data (evaluate)",
    "data": "one data set of files or in memory; of files only (pack); several by name (evaluate)",
    "output": "embed and pack can do nothing without; embed and pack write where a URL says, too",
    "obs_columns": "few are worth a copy beside vectors (embed), all in an atlas (pack)",
    "group": "tl.explain explains nothing else",
    "key_added": "tl.embed writes two kinds of names",
    "device": "train has that of its settings in place of None",
    "min_coverage": "None is for callers that have no need of described genes; a sentence needs few (search)",
    "text": "a search may be for a cell or for genes instead",
}


#: What hands these keywords on, has others, or reads names of cells and no counts.
NO_ALIGNMENT = {"tl.annotate", "tl.explain", "AlignOptions", "Options", "import-embedding"}


def meant(parameter: inspect.Parameter) -> tuple[str, Any]:
    return str(parameter.annotation), parameter.default


def test_a_keyword_means_the_same_in_every_function() -> None:
    meanings: dict[str, set[Any]] = {}
    for function in FUNCTIONS.values():
        for name, parameter in parameters(function).items():
            if parameter.kind is not parameter.VAR_KEYWORD:
                meanings.setdefault(name, set()).add(meant(parameter))
    assert {name: of for name, of in meanings.items() if len(of) > 1}.keys() == DIFFERENT.keys()
    everywhere = {"layer", "use_raw", "modality", "lexicon", "listener"}
    for name in everywhere | {field.name for field in fields(AlignOptions)} - {"lexicon"}:
        having = {key for key, of in FUNCTIONS.items() if name in parameters(of)}
        lacking = (
            FUNCTIONS.keys()
            - having
            - {"tl.annotate", "tl.explain", "AlignOptions", "Options", "import-embedding"}
        )
        assert lacking <= (set() if name in everywhere else {"describe", "pack", "report"}), (
            name
        )  # its store says


def told(function: Callable[..., Any]) -> dict[str, str]:
    """What the docstring says of each parameter."""
    sections = griffe.Docstring(inspect.getdoc(function) or "", parser="numpy").parse("numpy", warnings=False)
    return {
        of.name: " ".join(of.description.split())
        for part in sections
        if part.kind.value == "parameters"
        for of in part.value
    }


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"Options", "AlignOptions"}))
def test_every_parameter_is_told(name: str) -> None:
    given = {("**" * (of.kind is of.VAR_KEYWORD)) + key for key, of in parameters(FUNCTIONS[name]).items()}
    assert told(FUNCTIONS[name]).keys() == given
    if name in TWINS:
        texts = {option.name: option.info.help for option in options(name)}
        assert all(text and text.endswith((".", '").')) for text in texts.values()), texts


SCENARIOS = CellProtocol().scenarios
SIZES = CellProtocol().n, CellProtocol().few
LOST = f"{100 * parameters(fit_classifier)['lost'].default:g}"
ALPHA = f"{parameters(fit_contrastive_pca)['alpha'].default:g}"
#: Where a text names a value as the default: what it says, and what is used in place of `{}`.
NAMED = {
    ("embed", "recipe"): ('by default what the projection was learned with, else "{}"', DEFAULT_RECIPE),
    ("train", "alpha"): ("{} by default", ALPHA),
    ("annotate", "threshold"): ("with sentences {} by default", str(SURE)),
    ("evaluate", "protocol"): ("By default of {}", " and ".join(f'"{name}"' for name in CZ_METHODS)),
    ("evaluate", "scenarios"): ("Some of {}", ", ".join(f'"{name}"' for name in SCENARIOS)),
    ("evaluate", "n"): ("by default {}", " and ".join(", ".join(map(str, sizes)) for sizes in SIZES)),
}
NAMED_IN_HELP = {
    ("embed", "recipe"): ("Default: what the projection was learned with, or {}.", DEFAULT_RECIPE),
    ("train", "alpha"): ("Default: {}.", ALPHA),
    ("train", "steps"): ("Default: {}.", str(TrainSettings().steps)),
    ("train", "rate"): ("Default: {}.", str(TrainSettings().rate)),
    ("annotate", "threshold"): ("loses {} % of the reference cells", LOST),
    ("evaluate", "scenarios"): ("Default: {},", " and ".join(SCENARIOS)),
    ("evaluate", "n"): ("Default: {} beside", " few-shot, ".join(",".join(map(str, of)) for of in SIZES)),
}
VALUE = r"""(?:"[\w-]+"|-?\d[\d.]*|(?<!`)\blexicell\b|few-shot)"""


@pytest.mark.parametrize("verb", TWINS)
def test_a_default_that_a_text_names_is_the_one_that_is_used(verb: str) -> None:
    helped = {option.name: option.info.help or "" for option in options(verb)}
    for texts, table in ((told(TWINS[verb][1]), NAMED), (helped, NAMED_IN_HELP)):
        found = {
            name
            for text, name in {
                text: name for name, text in reversed(texts.items())
            }.items()  # the first of a group
            if re.search(rf"(?i)default[^;.|]*?{VALUE}|{VALUE} by default", text)
        }
        assert found == of_verb(table, verb)
        for name in found:
            says, value = table[verb, name]
            assert says.format(value) in texts[name]


@pytest.mark.parametrize("verb", TWINS)
def test_a_default_is_among_the_choices_that_a_text_lists(verb: str) -> None:
    called = parameters(TWINS[verb][1])
    for name, text in told(TWINS[verb][1]).items():
        default = called[name.strip("*")].default
        if isinstance(default, str) and '``"' in text:
            assert f'``"{default}"``' in text, name
    for option in options(verb):
        assert option.required or option.default in {*option.choices, None} or not option.choices


def test_help_docstring_and_readme_name_all_recipes(repository: Path) -> None:
    recipe = next(option for option in options("embed") if option.name == "recipe")
    row = re.search(r"(?m)^\| recipes \| (.*)$", (repository / "README.md").read_text(encoding="utf-8"))
    assert row
    for text in (recipe.info.help or "", told(lexicell.embed)["recipe"], row[1]):
        assert set(RECIPES) <= set(re.findall(r"[a-z-]+", text))
    assert f"`{DEFAULT_RECIPE}`, the default" in row[1]


def test_the_default_recipe_and_lexicon_are_used(cells: Any) -> None:
    lexicell.tl.embed(cells)
    assert cells.uns["lexicell"]["recipe"] == DEFAULT_RECIPE
    assert cells.uns["lexicell"]["lexicon"]["name"] == DEFAULT_LEXICON
