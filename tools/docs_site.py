"""Build docs/ as a site with Zensical: `make site`, or `python tools/docs_site.py FOLDER`.

The folders are as in the repository, so links work in both. The navigation is the list of
docs/README.md. Strict: a dead link, an unknown anchor and a page that no list names are errors.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / ".cache" / "site"
HTML = "html"
INDEX = "docs/README.md"
PAGES = (
    "*.md",
    "docs/**/*.md",
    "docs/**/*.png",
    "docs/**/*.svg",
    "charts/asyncendpoints/README.md",
    "examples/**/*",
    "tests/cluster/README.md",
    "LICENSE",
)
# These are for a visitor of the repository.
UNLISTED = {"README.md", INDEX, "CODE_OF_CONDUCT.md", "SECURITY.md", "LICENSE"}
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+\.md)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SECTION = re.compile(r"^([A-Z][\w ]+):")

Nav = list[dict[str, Any]]


def stage(target: Path) -> None:
    """Copy the pages, and what they link to, as they lie in the repository."""
    for pattern in PAGES:
        for source in ROOT.glob(pattern):
            skipped = {"node_modules", "__pycache__"} & set(source.parts)
            if source.is_file() and not skipped:
                copy = target / source.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)


def title(page: str) -> str:
    """Return the first heading of a page."""
    found = HEADING.search((ROOT / page).read_text())
    return found[1].replace("`", "") if found else page


def listed(page: str) -> list[str]:
    """Return the pages that the README of a folder lists, in their order."""
    if not page.endswith("README.md"):
        return []
    found = [_resolved(page, link) for link in LINK.findall((ROOT / page).read_text())]
    return [one for one in found if one.startswith(page.removesuffix("README.md"))]


def _resolved(page: str, link: str) -> str:
    return str(((ROOT / page).parent / link).resolve().relative_to(ROOT))


def navigation() -> Nav:
    """Return the sections of docs/README.md with their pages. A folder's README has its own."""
    sections: Nav = [{"Home": "README.md"}]
    pages: Nav = []
    for line in (ROOT / INDEX).read_text().splitlines():
        if heading := SECTION.match(line):
            pages = []
            sections.append({heading[1]: pages})
        for link in LINK.findall(line):
            page = _resolved(INDEX, link)
            inner = [{title(one): one} for one in listed(page)]
            pages.append({title(page): [{"Overview": page}, *inner] if inner else page})
    return sections


def paths(nav: Nav) -> list[str]:
    """Return the pages of a navigation."""
    found: list[str] = []
    for entry in nav:
        for value in entry.values():
            found += paths(value) if isinstance(value, list) else [value]
    return found


def config(nav: Nav) -> dict[str, Any]:
    """Return the settings of the site."""
    schemes = (("default", "dark", "brightness-7"), ("slate", "light", "brightness-4"))
    palette = [
        {
            "media": f"(prefers-color-scheme: {'light' if scheme == 'default' else 'dark'})",
            "scheme": scheme,
            "toggle": {"icon": f"material/{icon}", "name": f"Switch to the {other} theme"},
        }
        for scheme, other, icon in schemes
    ]
    fence = {
        "name": "mermaid",
        "class": "mermaid",
        "format": "pymdownx.superfences.fence_code_format",
    }
    return {
        "site_name": "asyncendpoints",
        "docs_dir": "pages",
        "site_dir": HTML,
        "use_directory_urls": False,
        "nav": nav,
        "theme": {
            "palette": palette,
            "font": False,  # the reader's own: nothing is fetched from elsewhere
            "features": ["content.code.copy", "navigation.footer", "navigation.top", "toc.follow"],
        },
        "plugins": ["search"],
        "markdown_extensions": [
            "admonition",
            "attr_list",
            "md_in_html",
            "tables",
            {"toc": {"permalink": True}},
            "pymdownx.highlight",
            {"pymdownx.superfences": {"custom_fences": [fence]}},
        ],
        "validation": {"invalid_links": True, "invalid_link_anchors": True},
    }


def build(out: Path) -> int:
    """Build the site in out/html; return the exit status."""
    shutil.rmtree(out, ignore_errors=True)
    stage(out / "pages")
    nav = navigation()
    pages = {str(path.relative_to(out / "pages")) for path in (out / "pages").rglob("*.md")}
    if missing := sorted(pages - set(paths(nav)) - UNLISTED):
        sys.stderr.write(f"not listed in {INDEX} or in a list it links to: {', '.join(missing)}\n")
        return 1
    (out / "mkdocs.yml").write_text(yaml.safe_dump(config(nav), sort_keys=False))
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict", "-f"]
    return subprocess.run([*command, "mkdocs.yml"], cwd=out, check=False).returncode


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else OUT
    if status := build(folder):
        sys.exit(status)
    sys.stdout.write(f"To read it: python3 -m http.server --directory {folder / HTML} 8000\n")
