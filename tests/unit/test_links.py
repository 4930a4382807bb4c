"""Every link of every page leads somewhere, and every page of docs/ is reached from the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "tests/**/*.md", "lab/**/*.md")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(page: Path) -> list[tuple[Path, str]]:
    """File and anchor of each link that is not to another site."""
    text = re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text()))
    found = [target.partition("#") for target in LINK.findall(text) if "://" not in target and not target.startswith("mailto:")]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in found]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: a second one of the same words gets -1."""
    made: set[str] = set()
    for head in re.findall(r"^#+ +(.*?) *$", FENCED.sub("", page.read_text()), re.MULTILINE):
        name = re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")
        made.add(next(each for each in (name, *(f"{name}-{n}" for n in range(1, 99))) if each not in made))
    return made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = [f"{path}#{anchor}" for path, anchor in links(page) if not path.exists() or (anchor and anchor not in anchors(path))]
    assert dead == []


def test_every_file_of_docs_is_reached_from_the_readme() -> None:
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in reached:
            continue
        reached.add(page)
        if page.suffix == ".md":
            left += [path for path, _ in links(page) if path.exists()]
    assert {path for path in (ROOT / "docs").rglob("*") if path.is_file()} - reached == set()


def test_links_and_anchors_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b`, c!\n## Twice\n## Twice\n[x](#twice-1) `[no](code.md)` ![p](p.png)\n```\n[no](fenced.md)\n```\n")
    assert links(page) == [(page, "twice-1"), (tmp_path / "p.png", "")]
    assert anchors(page) == {"a-b-c", "twice", "twice-1"}
