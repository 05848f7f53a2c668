"""The command `python -m seeds report`: everything that people read, made anew from the stored findings.

claims.json -> [command] -> reports/
"""

import argparse
import webbrowser
from pathlib import Path

from seeds.errors import StoreError

PAGE = "index.html"


def report_command(options: argparse.Namespace) -> int:
    """Writes tables, figures and the page, and shows it if asked to. Measures nothing: `make report` does that first."""
    from seeds.claims import load
    from seeds.report import write

    root = checkout()
    claims = load(root / "tests" / "claims.toml", root / "tests" / "expected.toml")
    written = write.everything(claims, root / "reports", root / "README.md")
    print(f"wrote {len(written)} files; the page is {root / 'reports' / PAGE}")
    if options.open and not webbrowser.open((root / "reports" / PAGE).as_uri()):
        print("no browser to show it in was found here")
    return 0


def checkout() -> Path:
    """The project's folder: the current one, or the one that this package is in.

    Raises:
        StoreError: neither holds the claims; the package alone does not.
    """
    places = (Path.cwd(), Path(__file__).parents[2])
    for place in places:
        if (place / "tests" / "claims.toml").is_file() and (place / "reports").is_dir():
            return place
    raise StoreError(f"no reports/ and tests/claims.toml in {places[0]}; run this in a checkout of the project")
