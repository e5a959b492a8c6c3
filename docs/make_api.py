"""Write docs/api.md, all public names on one page, of signatures and docstrings: ``make api``."""

import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from textwrap import indent

import griffe

PAGE = Path(__file__).with_name("api.md")
INTRO = "# All public names\n\nMade from the docstrings by `make api`: edit those, not this page."
#: Names by part, behind their modules; of a module without names, all that its ``__all__`` lists.
PARTS = {
    "To begin with": """lexicell embed pack open_embedding train annotate search describe explain
        evaluate report export import_embedding Lexicon Projection pl tl errors __version__""",
    "On an AnnData": "lexicell.tl",
    "Pictures": "lexicell.pl",
    "What these take and return": """lexicell.embedding Embedded, lexicell.packing Packed,
        lexicell.annotation Annotation,
        lexicell.words Description Described Search read_descriptions shipped_types shipped_groups name_cells,
        lexicell.explanation Explanation, lexicell.explanation.api GeneSets,
        lexicell.reporting Reported,
        lexicell.evaluation Evaluation CellProtocol Method evaluate_generated GeneratedReport
        DistanceLine Distance, lexicell.evaluation.cells.api Data Scenario,
        lexicell.learn TrainSettings,
        lexicell.imports Imported Joined Kind Source join_vectors open_sources,
        lexicell.exports Exported, lexicell.exports.run Container,
        lexicell.exports.geneformer GeneformerOptions, lexicell.exports.sentences SentenceOptions,
        lexicell.exports.counts CountsOptions, lexicell.exports.scbank ScBankOptions,
        lexicell.exports.chat ChatOptions, lexicell.exports.formats Format,
        lexicell.exports.ranked RankedOptions, lexicell.exports.vectors VectorOptions,
        lexicell.exports.bags BagOptions, lexicell.exports.spatial_graph SpatialGraphOptions,
        lexicell.exports.soma SomaOptions, lexicell.exports.group_genes GroupGeneOptions,
        lexicell.projection Classifier Pooling HeadLayer Residual,
        lexicell.counts Values, lexicell.lexicon GeneList,
        lexicell.embedding Recipe Listener Event Note Started Advanced Committed""",
    "Errors": "lexicell.errors",
    "How a data set is understood": """lexicell.embedding AlignOptions AlignedCells align_cells
        Selection SelectedCells Options Plan make_plan plan_cells""",
    "Lexicons": "lexicell.lexicon",
    "Kernels": "lexicell_kernels",
}


def stub(one, name):
    """What Python would be told of it; constants that are defaults are shown as values."""
    for of in one.parameters if one.is_function else ():
        path = of.default.canonical_path if isinstance(of.default, griffe.ExprName) else ""
        value = getattr(one.modules_collection[path], "value", None) if path.startswith("lexicell") else None
        of.default = value if isinstance(value, str) else of.default
    if one.is_function:
        return "@classmethod\n" * ("classmethod" in one.labels) + f"def {one.signature(name=name)}: ..."
    if one.is_attribute:
        made = f"{name}: {one.annotation}" if one.annotation else name
        return f"{made} = {one.value}" if one.value else made
    init, fields = one.members.get("__init__"), [of for of in one.members.values() if of.is_attribute]
    shown = [of for of in fields if not init or "instance-attribute" not in of.labels]
    lines = [stub(of, of.name) for of in shown if of.name[0] != "_" and "property" not in of.labels]
    lines += [stub(init, "__init__").replace("(", "(self, ", 1)] if init else []
    return f"class {name}({', '.join(map(str, one.bases))}):\n" + indent("\n".join(lines) or "...", "    ")


def told(one):
    """The sections of a docstring in Markdown; of a constant, the comment above it."""
    if one.docstring is None:
        above = one.filepath.read_text(encoding="utf-8").splitlines()[: one.lineno - 1]
        comment = re.search(r"(?:\n *#: .*)*\Z", "\n".join(above))
        yield re.sub(r" *#: ", "", comment[0]).strip()
    for section in one.docstring.parsed if one.docstring else ():
        kind, value = section.kind.value, section.value
        if kind != "text":
            yield f"**{section.title or kind.capitalize()}**"
        if kind in {"text", "admonition"}:
            yield getattr(value, "contents", value)
        elif kind == "examples":
            yield from (f"```pycon\n{text}\n```" if of.value == kind else text for of, text in value)
        else:  # what is described together is one item
            yield "\n".join(item(same, text) for text, same in groupby(value, lambda of: of.description))


def item(same, text):
    """Names and what they are; a list in that is one in Markdown too."""
    names = ", ".join(str(getattr(of, "name", None) or of.annotation) for of in same).strip("()")
    names = re.sub(r", (?![^[]*])", "`, `", names)  # but not those in brackets
    text = re.sub(r"(?m)^(``.+`` : .+)\n +", r"- \1: ", text.strip())
    return f"- `{names}`: {indent(text, '  ')[2:]}"


def entry(one, path):
    """One name: heading, signature, what is told, and the members of a class."""
    yield f"### `{path}`"
    yield from [] if one.is_module else [f"```python\n{stub(one, path.rpartition('.')[2])}\n```"]
    yield from told(one)
    members = [of for of in one.members.values() if of.docstring] if one.is_class else []
    members = [of for of in members if of.name == "__call__" or of.name[0] != "_"]
    about = [item([of], of.docstring.value) for of in members if of.is_attribute]
    yield from ["**Properties**", "\n".join(about)] if about else []
    for of in members:
        if of.is_function:
            yield from (f"#### `{one.name}.{of.name}`", f"```python\n{stub(of, of.name)}\n```", *told(of))


def page():
    """The whole page."""
    root = PAGE.parents[1]
    loader = griffe.GriffeLoader(docstring_parser="numpy", search_paths=[root / "engine", root / "kernels"])
    for package in ("lexicell", "lexicell_kernels"):
        loader.load(package)
    loader.resolve_aliases(external=False)
    known, contents, body, seen = loader.modules_collection, [INTRO, "## Contents"], [], set()
    for title, modules in PARTS.items():
        listed = []
        body.append(f"## {title}")
        for module, *names in map(str.split, modules.split(",")):
            for name in names or map(str, known[module].exports):
                one = known[f"{module}.{name}"]
                one = one.final_target if one.is_alias else one
                if one.path not in seen:  # a name is told where it comes first
                    first = re.split(r"(?<=[^.]\.)\s", next(told(one)), maxsplit=1)[0].replace("\n", " ")
                    listed.append(f"- `{module}.{name}`: {first}")
                    body += entry(one, f"{module}.{name}")
                seen.add(one.path)
        contents += [f"**{title}**", "\n".join(listed)]
    heads = re.findall(r"(?m)^#+ `(.+)`$", "\n".join(body))
    anchors = {name: head for head in heads[::-1] for name in (head.rpartition(".")[2], head)}

    def linked(of):
        to = anchors.get(of[2], "").lower().replace(".", "")  # as GitHub makes it of a heading
        return f"[{of[0]}](#{to})" if to else of[0]

    word = r"(?m)^(#.*)$|(?<![`\w])`([A-Z]\w+|\w+[._]\w[.\w]*)`(?!`)"
    text = re.sub(word, linked, "\n\n".join([*contents, *body]) + "\n")
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(PAGE), "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
