import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PACKAGES = ("model", "streamer", "streamer/commands", "streamer/sound", "clients")


def first_sentence(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, f"{path} has no docstring"
    return docstring.splitlines()[0]


def test_the_tree_in_the_readme_is_the_tree():
    listed = dict(re.findall(r"^((?:model|streamer|clients)/\S+\.py) +(.+)$", README, re.MULTILINE))
    there = {
        str(path.relative_to(ROOT)): first_sentence(path)
        for package in PACKAGES
        for path in sorted((ROOT / package).glob("*.py"))
        if path.name != "__init__.py"
    }
    assert listed == there


def test_links_and_pictures_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test", "bench", "eval"} <= named <= targets
