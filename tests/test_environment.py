"""The environment is the one that was asked for: the ranges of pyproject.toml and, in the matrix, the versions of tox.ini.

Reads the metadata of the installed packages and imports none of them, so that a wrong environment is named
before anything slow or strange happens in it. A matrix environment that quietly installed another version would test nothing.

    SEEDS_EXPECT=lowest|pin|newest    every package is at its lower bound, at its pin, or no older than its pin
    SEEDS_EXPECT_TORCH=2.6            this package has this version, or one that begins with it
"""

import os
import platform
import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = [line for name, lines in PROJECT["optional-dependencies"].items() if name != "dev" for line in lines]
STATED = [Requirement(line) for line in PROJECT["dependencies"]]
OPTIONAL = [Requirement(line) for line in EXTRAS if not line.startswith("seeds[")]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").split() if "==" in line)
VARIABLE = "SEEDS_EXPECT"


def asked(stated: Requirement, environment: dict[str, str]) -> SpecifierSet:
    """What pyproject.toml allows and the environment narrows."""
    bound, pin = next(iter(stated.specifier)).version, PINS[canonicalize_name(stated.name)]
    all_of_them = {"lowest": f"=={bound}", "pin": f"=={pin}", "newest": f">={pin}", "": ""}[environment.get(VARIABLE, "")]
    this = environment.get(f"{VARIABLE}_{shouted(stated)}")
    return stated.specifier & SpecifierSet(all_of_them) & SpecifierSet(f"=={this}.*" if this else "")


def shouted(stated: Requirement) -> str:
    return canonicalize_name(stated.name).upper().replace("-", "_")


def test_python_is_new_enough():
    assert SpecifierSet(PROJECT["requires-python"]).contains(platform.python_version(), prereleases=True)


@pytest.mark.parametrize("stated", STATED, ids=lambda stated: stated.name)
def test_a_dependency_has_the_version_that_was_asked_for(stated):
    allowed, found = asked(stated, dict(os.environ)), version(stated.name)
    assert allowed.contains(found, prereleases=True), f"{stated.name} is {found}, asked for {allowed}"


@pytest.mark.parametrize("stated", OPTIONAL, ids=lambda stated: stated.name)
def test_a_package_of_an_extra_has_the_version_that_was_asked_for(stated):
    try:
        found = version(stated.name)
    except PackageNotFoundError:
        pytest.skip(f"{stated.name} of an extra is not installed")
    allowed = asked(stated, dict(os.environ))
    assert allowed.contains(found, prereleases=True), f"{stated.name} is {found}, asked for {allowed}"


def test_an_environment_of_other_versions_is_refused():
    """A version beside the one that was asked for is never allowed, whichever way it was asked."""
    torch = Requirement("torch>=2.6")
    allowed = {
        "": asked(torch, {}),
        "torch26": asked(torch, {"SEEDS_EXPECT_TORCH": "2.6"}),
        "lowest": asked(torch, {"SEEDS_EXPECT": "lowest"}),
        "pin": asked(torch, {"SEEDS_EXPECT": "pin"}),
        "newest": asked(torch, {"SEEDS_EXPECT": "newest"}),
    }
    older, newer = "2.6.0", "99.0"
    assert {name for name, specifier in allowed.items() if specifier.contains(older)} == {"", "torch26", "lowest"}
    assert {name for name, specifier in allowed.items() if specifier.contains(newer)} == {"", "newest"}
    assert {name for name, specifier in allowed.items() if specifier.contains(PINS["torch"])} == {"", "pin", "newest"}
    assert not any(specifier.contains("2.5.1") for specifier in allowed.values())


def test_every_expectation_of_the_matrix_names_a_dependency():
    """A misspelt one would assert nothing."""
    named = set(re.findall(rf"{VARIABLE}_([A-Z_]+)", (ROOT / "tox.ini").read_text("utf-8")))
    assert {"TORCH", "TRANSFORMERS"} <= named <= {shouted(stated) for stated in STATED + OPTIONAL}
