"""Campaigns: what is too long for the default suite, and shows how far the suite itself can be trusted.

Each module is a command that `make` names: `fuzz` (mutated seed files), `faults` (killed and starved runs), `mutants` (faults
put into the product on purpose), `flaky` (the same verdicts twenty times) and `matrix` (other versions). Each prints what it
did, writes a table under reports/ and ends with a status that is not 0 if it found something. Short forms of all of them are
ordinary tests.
"""
