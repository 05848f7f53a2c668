"""The environment is the one that was asked for: the ranges of pyproject.toml and, in the matrix, the versions of tox.ini.

Reads the metadata of the installed packages and imports none of them, so that a wrong environment is named
before anything slow or strange happens in it.
"""

import os
import platform
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]


def test_python_is_new_enough():
    assert SpecifierSet(PROJECT["requires-python"]).contains(platform.python_version(), prereleases=True)


@pytest.mark.parametrize("stated", [Requirement(line) for line in PROJECT["dependencies"]], ids=lambda stated: stated.name)
def test_a_dependency_has_the_version_that_was_asked_for(stated):
    """A matrix environment that quietly installed another version would test nothing."""
    asked = stated.specifier
    if expected := os.environ.get(f"SEEDS_EXPECT_{stated.name.upper()}"):
        asked &= SpecifierSet(f"=={expected}.*")

    found = version(stated.name)
    assert asked.contains(found, prereleases=True), f"{stated.name} is {found}, asked for {asked}"
