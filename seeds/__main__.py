"""`python -m seeds`: makes, shows and scores seeds of models, those of the embedded library or your own.

    subject -> extract -> Seed -> store -> assemble -> evaluate        [one command for each arrow]

This module knows arguments, what stands in for those left out, and exit statuses (0 done, 1 refused, 2 used wrongly);
`seeds.cli` holds the commands.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from seeds import __version__, cli
from seeds.cost.advice import plan_command
from seeds.errors import ProtocolError, SeedError, SubjectUnavailable, WireError
from seeds.report.command import report_command

MAX_TOKENS = 128  # per text of a JSONL file


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; what it refuses is one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (SeedError, SubjectUnavailable, ProtocolError, WireError, OSError) as error:
        print("error:", cli.plain(" ".join(str(error).split()), cli.LONGEST_ERROR), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m seeds",
        description="Makes, shows and scores seeds of models: those of the embedded library, or your own.",
    )
    parser.add_argument("--version", action="version", version=f"seeds {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = _command(commands, "list", cli.list_command, "show subjects, codecs and tasks")

    command = _command(commands, "extract", _extract, "make the seed of a model")
    command.add_argument("source", help="subject, .safetensors file, .safetensors.index.json, or save_pretrained folder")
    command.add_argument("--codec", required=True, metavar="SPEC", help="moments, pca:8+vectors, ...; see `list`")
    _add_output(command, "FILE", "seed file")

    command = _command(commands, "inspect", cli.inspect_command, "show what a seed file holds")
    command.add_argument("file", type=Path, help="seed file")
    command.add_argument("--json", action="store_true", help="everything, as JSON")
    command.add_argument("--all", action="store_true", help=f"every tensor, not the first {cli.SHOWN}")

    command = _command(commands, "assemble", cli.assemble_command, "rebuild weights from a seed")
    command.add_argument("file", type=Path, help="seed file")
    _add_output(command, "PATH", "weights as one .safetensors file or, with --like, a folder for from_pretrained")
    command.add_argument("--like", type=Path, metavar="MODEL_FOLDER", help="takes config and tokenizer from this folder")
    _add_rng_seed(command)

    command = _command(commands, "score", _score, "score a model on a task")
    command.add_argument(
        "model", help="subject, save_pretrained folder (classifier or causal language model), or with --into a seed file"
    )
    command.add_argument(
        "--task",
        help="name of a task (see `list`), or a .jsonl file of {'text': ..., 'label': ...} rows (default: the subject's own)",
    )
    command.add_argument("--split", default="test", help="scored split of a named task (default: test)")
    command.add_argument("--into", metavar="SUBJECT_OR_FOLDER", help="architecture that takes the seed's weights")
    command.add_argument("--calibration", type=Path, metavar="FILE.jsonl", help="other rows, which fit the calibrated figures")
    command.add_argument("--max-tokens", type=int, default=MAX_TOKENS, help=f"of a JSONL text (default: {MAX_TOKENS})")
    command.add_argument("--hub", action="store_true", help="lets tasks whose examples are on the hub use the network")
    _add_rng_seed(command)

    command = _command(commands, "plan", plan_command, "say which delivery of a subject is soonest at a quality")
    command.add_argument("subject", help="digits-mlp, digits-cnn, docs-bert or docs-gpt")
    command.add_argument("--bandwidth", required=True, metavar="SPEED", help="of the link, in bits: 56kbps, 5Mbps, 1Gbps")
    command.add_argument("--latency", default="20ms", metavar="TIME", help="of a round trip (default: 20ms)")
    command.add_argument("--samples", type=int, required=True, metavar="N", help="labelled samples that the receiver has")
    command.add_argument("--quality", type=float, default=0.95, help="wanted share of the original's (default: 0.95)")
    command.add_argument("--json", action="store_true", help="as JSON")
    command.add_argument("--again", action="store_true", help="measures the seconds of this machine again")
    command.add_argument("--calibration", metavar="FILE", help="where those seconds are kept (default: the user's cache)")

    command = _command(commands, "report", report_command, "make reports/ anew, tables, figures and page, from what is stored")
    command.add_argument("--open", action="store_true", help="shows the page in a browser")
    return parser


def _command(commands, name: str, run, says: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=says, description=says)
    command.set_defaults(run=run, refuse=command.error)
    return command


def _add_output(command: argparse.ArgumentParser, metavar: str, says: str) -> None:
    command.add_argument("-o", "--output", required=True, metavar=metavar, help=says)
    command.add_argument("--force", action="store_true", help="overwrite")


def _add_rng_seed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rng-seed", type=int, default=0, help="number of the run, for codecs that draw (default: 0)")


def _extract(options: argparse.Namespace) -> int:
    """Extracts; where the source is nothing that is there, says which names would be subjects."""
    if not Path(options.source).exists():
        from seeds.subject import SUBJECTS

        if options.source not in SUBJECTS:
            near = get_close_matches(options.source, SUBJECTS, len(SUBJECTS))
            names = ", ".join([*near, *(name for name in SUBJECTS if name not in near)])
            raise SubjectUnavailable(f"no such file or folder: {options.source}; nor is it a subject: {names}")
    return cli.extract_command(options)


def _score(options: argparse.Namespace) -> int:
    """Scores, on a subject's own task unless another is named."""
    if options.task is None:
        from seeds.subject import SUBJECTS

        network = options.model if options.into is None else options.into
        if network not in SUBJECTS:
            options.refuse(f"{network} is no subject, so name a --task: one of `list`, or a .jsonl file")
        options.task = SUBJECTS[network].task_name
    return cli.score_command(options)


if __name__ == "__main__":
    sys.exit(main())
