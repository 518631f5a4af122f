"""Every relative link of a page leads to a file, and to a heading if it names one."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)


def anchors(page: str) -> set[str]:
    """The anchors of a page, as GitHub names them."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", page), re.MULTILINE)
    named = re.findall(r'<a id="([^"]+)">', page)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles} | set(named)


def broken(path: Path, page: str) -> list[str]:
    """The links of the page at `path` that lead nowhere."""
    found = []
    for file, anchor in LINK.findall(FENCED.sub("", page)):
        target = (path.parent / file).resolve() if file else path
        text = page if target == path else target.read_text(errors="replace") if target.is_file() else None
        if text is None and not target.is_dir():
            found.append(file)
        elif anchor and anchor not in anchors(text or ""):
            found.append(f"{file}#{anchor}")
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(path: Path) -> None:
    assert broken(path, path.read_text()) == []


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, todo = set[Path](), [ROOT / "docs/index.md"]
    while todo:
        if (path := todo.pop()) not in reached and path.suffix == ".md":
            reached.add(path)
            links = (file for file, _ in LINK.findall(path.read_text()) if file)
            todo += [(path.parent / file).resolve() for file in links]

    assert set((ROOT / "docs").rglob("*.md")) - reached == set()


@pytest.mark.parametrize(
    "link", ["[a](nowhere.md)", "[a](#no-such-heading)", "[a](glossary.md#no-such-heading)"]
)
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    assert broken(ROOT / "docs/index.md", f"# A page\n\n{link}\n")
