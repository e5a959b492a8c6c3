"""The page about words has the numbers that were measured, and blind sentences are what they were."""

from __future__ import annotations

import json
from statistics import median

import blake3
import pytest
from studies.words.page import PAGE, RESULTS, page
from studies.words.sets import OUTSIDE, SENTENCES, SETS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def content():
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_page_is_made_of_the_numbers(content):
    assert PAGE.read_text(encoding="utf-8") == page(content)


def test_a_number_of_the_page_is_a_median_of_seeds(content):
    row = content["sets"]["baron_h1_pancreas"]["rows"]["hand 1"]
    assert len(row["f1"]) == content["settings"]["seeds"]
    middle = f"{median(row['f1']):.2f}".removeprefix("0")
    (line,) = (line for line in page(content).splitlines() if line.startswith("| **sentences, hand 1**"))
    assert line.split("|")[3].strip().startswith(middle)


def test_all_sets_were_measured_with_the_sentences_that_are_here(content):
    assert list(content["sets"]) == [*SETS, *OUTSIDE]
    hashed = blake3.blake3(SENTENCES.read_bytes()).hexdigest()
    assert content["settings"]["sentences"][SENTENCES.name] == hashed


def test_without_the_sets_outside_the_page_says_so(content):
    few = content | {"sets": {key: content["sets"][key] for key in SETS}}
    assert "LEXICELL_OUTSIDE" in page(few)
