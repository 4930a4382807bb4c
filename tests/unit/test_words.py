"""What users read is in the field's words (docs/style.md): no message, help text or field description has one of these."""

from __future__ import annotations

import re

import pytest

from tests.fakes.sources import product_texts

# Instead of each, what docs/style.md says.
BANNED = {
    "mend": r"mend(s|ed|ing)?",
    "told": r"told|unless told",
    "tells": r"tells?",
    "unasked": r"unasked",
    "went back": r"(went|go|goes|taken?|takes|took) back",
    "the way back": r"the way back",
    "go on": r"(go|goes|went|going) on",
    "let go": r"let go",
    "take in": r"take in|taken in|took in",
    "come in by": r"(come|comes|came) in by",
    "somebody": r"nobody|anybody|somebody else",
    "waiver": r"waiver",
    "there is none": r"there is none",
    "patience": r"patience",
    "at the last": r"at the last",
}


def sentences() -> list[tuple[str, int, str]]:
    return [(name, line, text) for name, line, text in product_texts(help_too=True) if " " in text]


@pytest.mark.parametrize("word", BANNED)
def test_no_text_that_users_read_has_a_word_that_only_this_project_uses(word: str) -> None:
    pattern = re.compile(rf"\b({BANNED[word]})\b", re.IGNORECASE)
    assert [f"{name}:{line}: {text}" for name, line, text in sentences() if pattern.search(text)] == [], (
        "docs/style.md has what to write instead"
    )


def test_texts_of_the_product_are_looked_at() -> None:
    assert len(sentences()) > 1000
    assert any(text.startswith("Everything, or the named services, back to blue.") for _, _, text in sentences())
