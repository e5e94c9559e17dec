"""The pages say what the code does: links lead somewhere, examples are real, every YAML key is described."""

import re
from pathlib import Path
from textwrap import dedent

import pytest

import range_linear_ai84
from distiller.learning_rates import LR_SCHEDULERS
from distiller.pruners import PRUNERS, PruningArguments
from distiller.quantizers import QUANTIZERS
from distiller.regularizers import REGULARIZERS
from izer.grammars import AI84_KEYS, AI85_KEYS
from izer.targets import TARGETS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NETWORK_PAGE = (ROOT / "docs" / "add-a-network.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_of_the_project(page):
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).is_file()] == []


def test_every_page_and_every_figure_is_used():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    readme = PAGES[0].read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in readme] == []
    figures = sorted(path.name for path in (ROOT / "docs" / "figures").glob("*.svg"))
    assert [name for name in figures if f"figures/{name})" not in text] == []


def test_the_network_page_shows_the_yaml_file_that_it_names():
    shown = dedent(NETWORK_PAGE.split("extrasmallnet.yaml`:\n\n")[1].split("\n\nHow these numbers")[0])
    file = ROOT / "ai8x-synthesis" / "networks" / "mnist-chw-extrasmallnet.yaml"
    assert file.read_text(encoding="utf-8").strip().endswith(shown.strip())
    assert shown.startswith("arch:")


def test_the_network_page_describes_every_yaml_key():
    tables = "".join(line.split("|")[1] for line in NETWORK_PAGE.splitlines() if line.startswith("| `"))
    assert {*AI84_KEYS.whole, *AI84_KEYS.keys} - set(re.findall(r"`(\w+)`", tables)) == set()


def test_the_page_of_ai85_describes_every_yaml_key_and_option():
    page = (ROOT / "docs" / "ai85.md").read_text(encoding="utf-8")
    keys = {*AI85_KEYS.whole, *AI85_KEYS.keys}
    assert keys - set(re.findall(r"`(\w+)`", page)) == set()
    rules = {entry.id for entry in (*TARGETS[85].rules, *TARGETS[85].description_rules)}
    named = {*re.findall(r"[Rr]ules?,? `([\w-]+)`", page), *re.findall(r"`((?:output|narrow|columns)-\w+)`", page)}
    assert len(named) > 5
    assert named <= rules


def test_the_page_of_schedules_describes_every_class_and_key_of_them():
    words = set(re.findall(r"\w+", (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")))
    classes = {**PRUNERS, **REGULARIZERS, **QUANTIZERS, **range_linear_ai84.QUANTIZERS}
    keys = {key for settings in (*classes.values(), PruningArguments) for key in settings.model_fields}
    assert {*LR_SCHEDULERS, *classes, *keys} - words == set()


def test_the_rules_that_the_network_page_names_exist():
    named = set(re.findall(r"(?:rules?|`popcount-in` or) `([\w-]+)`", NETWORK_PAGE))
    assert len(named) > 5
    assert named <= {entry.id for entry in TARGETS[84].rules}
