"""`python -m seeds.cost`: measures the expectations of deliveries again; minutes on digits, hours on text.

[subject -> delivery -> fine-tune -> expectation.json]
"""

import argparse
import os
import sys
from pathlib import Path

SUBJECTS = {"digits-mlp": (10, 99, 500), "digits-cnn": (10, 99, 500), "docs-bert": (99, 500), "docs-gpt": (99, 500)}


def main() -> int:
    """Measures and writes subject by subject, so that a killed run loses one at most."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(prog="python -m seeds.cost", description=__doc__)
    parser.add_argument("subjects", nargs="*", default=list(SUBJECTS), metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--rates", type=Path, required=True, help="JSON file of sweeps; what is missing is swept and added")
    parser.add_argument("--folder", type=Path, help="keeps finished trials there, so that a killed run resumes")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args()
    if unknown := sorted(set(options.subjects) - set(SUBJECTS)):
        parser.error(f"unknown subject {unknown[0]!r}; allowed: {', '.join(SUBJECTS)}")
    from seeds.cost import expectation
    from seeds.cost.delivery import DELIVERIES
    from seeds.engine import Engine
    from seeds.lab import Lab
    from seeds.rates import Rates
    from seeds.trial import Setting

    lab = Lab(Rates.load(options.rates), Engine(options.jobs, folder=options.folder))
    for name in options.subjects:
        for sent in DELIVERIES.values():
            for samples in (0, *SUBJECTS[name]) if sent.tuned else (0,):
                expectation.write([expectation.measured(lab, Setting(name), sent, samples)])
                lab.rates.save(options.rates)
                print(f"{name} {sent.name} {samples}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
