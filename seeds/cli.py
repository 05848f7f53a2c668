"""Commands: what `python -m seeds` does with the arguments that `seeds.__main__` reads, and the tables it prints.

    subject -> extract -> Seed -> store -> assemble -> evaluate        [one command for each arrow]

Each command returns an exit status. This module knows nothing of statistics; heavy imports wait until a command needs
them, and only `score` and `assemble --like` need transformers.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seeds.errors import StoreError, SubjectUnavailable

if TYPE_CHECKING:
    from seeds.data import Examples
    from seeds.evaluate import Evaluation
    from seeds.quantity import Mean
    from seeds.seed import Entry, Seed
    from seeds.subject import Subject
    from seeds.task import Task

SHOWN = 20  # tensors that `inspect` shows unless asked for all
LONGEST, LONGEST_ERROR = 200, 4000  # characters of one text that is shown; --json shows all
LEVEL = 0.025  # each side of a 95 % interval


def list_command(options: argparse.Namespace) -> int:
    """Shows subjects, codecs and tasks."""
    from seeds.codecs import REGISTRY
    from seeds.subject import SUBJECTS
    from seeds.task import TASKS

    print("subjects (quality with its 95 % interval)")
    _table(
        ("name", "task", "parameters", "weights B", "moments seed B", "quality"), [_subject_row(s) for s in SUBJECTS.values()]
    )
    print("\ncodecs (each may end in +vectors, which keeps 1-D tensors exactly)")
    _table(("spec", "keeps"), [(c.forms, (c.__doc__ or "").split("\n")[0]) for c in REGISTRY.values()])
    print("\ntasks")
    _table(("name", "kind", "classes", "question"), [(t.name, t.kind, f"{t.classes:,}", t.says) for t in TASKS.values()])
    return 0


def _subject_row(one: "Subject") -> tuple[str, ...]:
    from seeds import store
    from seeds.extract import extract

    if one.seed_path is not None:
        size = one.seed_path.stat().st_size
        return one.name, one.task_name, f"{one.card['parameters']:,}", "-", f"{size:,}", "published moments only"
    path = one.weights_path
    if path is None or not path.is_file():
        return one.name, one.task_name, "-", "-", "-", f"not trained yet: python -m seeds.library train {one.name}"
    seed = extract(path, "moments")
    weights, summary = f"{path.stat().st_size:,}", f"{store.size_bytes(seed):,}"
    return one.name, one.task_name, f"{seed.parameters:,}", weights, summary, _card_quality(one)


def _card_quality(one: "Subject") -> str:
    try:
        card = one.card
        low, high = card["interval_95"]
        return f"{card['quality']} {card['value']:.4f} [{low:.4f}, {high:.4f}]"
    except (OSError, ValueError, KeyError, TypeError):
        return "no card"


def extract_command(options: argparse.Namespace) -> int:
    """Writes the seed of a model."""
    from seeds import store
    from seeds.extract import extract
    from seeds.figures.words import factor
    from seeds.subject import SUBJECTS

    output = Path(options.output)
    _require_free(output, options.force, Path(options.source))
    if options.source in SUBJECTS:
        seed = _subject_seed(SUBJECTS[options.source], options.codec)
    else:
        seed = extract(options.source, options.codec)
    size = store.save(seed, output)
    weights = seed.declared_bytes
    print(f"{output}: {size:,} bytes; the weights have {weights:,}, {factor(weights / size)} times that")
    if energies := _energies(seed):
        print(f"captured energy: {_spread(energies)}")
    return 0


def _subject_seed(one: "Subject", codec: str) -> "Seed":
    from seeds.codecs import parse
    from seeds.extract import extract

    if one.weights_path is None:
        if parse(codec).text != "moments":
            raise SubjectUnavailable(
                f"{one.name} has no weights here for codec {codec!r}; allowed: moments, which are published"
            )
        return one.published_seed()
    if not one.weights_path.is_file():
        raise SubjectUnavailable(f"{one.name} is not trained yet: python -m seeds.library train {one.name}")
    return extract(one.weights_path, codec)


def inspect_command(options: argparse.Namespace) -> int:
    """Shows what a seed file holds."""
    from seeds import store

    seed = store.load(options.file)
    found = {
        "file": str(options.file),
        "format": store.FORMAT,
        "codec": seed.codec,
        "source": seed.source,
        "tensors": len(seed.entries),
        "parameters": seed.parameters,
        "file_bytes": options.file.stat().st_size,
        "header_bytes": store.header_bytes(seed),
        "weights_bytes": seed.declared_bytes,
        "captured_energy": _energies(seed),
        "ties": dict(seed.ties),
        "shared": _parts(seed.shared),
    }
    if options.json:
        print(json.dumps(found | {"entries": [_entry(entry) for entry in seed.entries]}, indent=1))
        return 0
    found["captured_energy"] = _spread(found["captured_energy"])
    for what, value in found.items():
        if value not in ("", {}):
            print(f"{what.replace('_', ' '):<16}{f'{value:,}' if isinstance(value, int) else plain(str(value))}")
    shown = seed.entries if options.all else seed.entries[:SHOWN]
    print()
    _table(("tensor", "shape", "dtype", "method", "parts", "energy"), [_entry_row(entry) for entry in shown])
    if len(shown) < len(seed.entries):
        print(f"... and {len(seed.entries) - len(shown)} more; --all shows them")
    return 0


def _entry(entry: "Entry") -> dict:
    return {
        "name": entry.name,
        "shape": list(entry.shape),
        "dtype": entry.dtype,
        "method": entry.method,
        "parts": _parts(entry.parts),
        "captured_energy": entry.captured_energy,
    }


def _parts(parts) -> dict:
    """Numbers as they are, arrays by their shape."""
    return {name: value.item() if value.ndim == 0 else list(value.shape) for name, value in parts.items()}


def _entry_row(entry: "Entry") -> tuple[str, ...]:
    told = [f"{n} {v:.6g}" if isinstance(v, int | float) else f"{n} {_shape(v)}" for n, v in _parts(entry.parts).items()]
    energy = "" if entry.captured_energy is None else f"{entry.captured_energy:.4f}"
    parts = plain(", ".join(told)) or "(shared)"
    return plain(entry.name), _shape(entry.shape), entry.dtype, entry.method, parts, energy


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def assemble_command(options: argparse.Namespace) -> int:
    """Writes weights rebuilt from a seed: a file, or a folder that `from_pretrained` reads."""
    from seeds import store
    from seeds.assemble import assemble_to

    output = Path(options.output)
    is_folder = options.output.endswith(("/", os.sep)) or output.is_dir()
    if options.like is None and is_folder:
        options.refuse(f"{options.output} is a folder; name a .safetensors file, or the model's folder with --like")
    if options.like is not None and output.suffix == ".safetensors":
        options.refuse(f"--like writes a folder, and {options.output} looks like a file")
    _require_free(output, options.force, options.file, *([options.like] if options.like else []))
    seed = store.load(options.file)
    if options.like is None:
        size = assemble_to(seed, output, options.rng_seed)
    else:
        size = _write_folder(seed, options.rng_seed, options.like, output)
    print(f"{output}: {size:,} bytes of weights")
    return 0


def _write_folder(seed: "Seed", rng_seed: int, like: Path, folder: Path) -> int:
    """Fills a scratch folder, loads it once to see that it can be, and moves its files into place; bytes of weights."""
    from seeds import score

    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        size = score.fill_folder(Path(scratch), seed, rng_seed, like)
        score.load(Path(scratch), like)
        folder.mkdir(exist_ok=True)
        for file in list(Path(scratch).iterdir()):
            file.replace(folder / file.name)
    return size


def score_command(options: argparse.Namespace) -> int:
    """Prints a model's quality on a task."""
    is_file = options.task.endswith(".jsonl")
    if is_file and options.split != "test":
        options.refuse(f"--split {options.split} is for named tasks; a .jsonl file is one split")
    if options.calibration and not is_file:
        options.refuse("--calibration is for .jsonl files; a named task has its own")
    if options.max_tokens < 2:
        options.refuse(f"--max-tokens {options.max_tokens} is out of range: 2 or more")
    if not options.hub:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read by seeds.hub and, when first imported, by the packages of the hub
    from seeds import score, store

    def tell(note: str) -> None:
        print("note:", note, file=sys.stderr)

    if options.into is None:
        model = score.open_model(options.model)
    else:
        model = score.rebuilt(store.load(options.model), options.into, options.rng_seed)
    if is_file:
        on = score.jsonl_task(Path(options.task), options.calibration, model, options.max_tokens, tell)
    else:
        on = score.named_task(options.task, model)
    found = score.score(model, on, options.split)
    print(f"{'model':<26}{options.model}")
    for what, value in _score_rows(on, options.split, found):
        print(f"{what:<26}{value}")
    return 0


def _score_rows(on: "Task", split: str, found: "Evaluation") -> Iterator[tuple[str, str]]:
    scored = on.splits()[split]
    yield "task", f"{on.name} ({split}): {on.says}"
    if found.correct is None:
        unit = "nats per token"
        yield "examples", f"{len(found.nats):,} with {int(found.weights.sum()):,} scored tokens"
        yield "quality (cross-entropy)", f"{_nats(found.nats, found, scored)} {unit}; lower is better"
        yield "chance", f"{on.uniform_nats:.4f} (uniform)" + _unigram(on, scored, found)
    else:
        unit = "nats"
        yield "examples", f"{len(found.nats):,}, {len(found.nats) // on.classes:,} of each of {on.classes} classes"
        yield (
            "quality (accuracy)",
            _accuracy(found.correct, scored) + ("; nearly always the same class" if found.is_constant else ""),
        )
        yield "chance", f"{1 / on.classes:.4f}"
        yield "AUC", f"{found.auc:.4f}"
        yield "cross-entropy", f"{_nats(found.nats, found, scored)} {unit}; uniform {on.uniform_nats:.4f}"
    if "calibration" in on.splits():
        if found.calibrated_correct is not None:
            yield "calibrated accuracy", _accuracy(found.calibrated_correct, scored)
        told = _nats(found.calibrated_nats, found, scored)
        yield "calibrated cross-entropy", f"{told} {unit}; inverse temperature {found.inverse_temperature:.4g}"


def _unigram(on: "Task", scored: "Examples", found: "Evaluation") -> str:
    from seeds.evaluate import token_nats

    if on.unigram is None:
        return ""
    return f", {_nats(token_nats(on.unigram_log_probabilities(), scored), found, scored)} (unigram)"


def _accuracy(correct, scored: "Examples") -> str:
    from seeds.quantity import Mean

    return _interval(Mean(correct[None], bounds=(0.0, 1.0), random=False, **scored.drawn))


def _nats(nats, found: "Evaluation", scored: "Examples") -> str:
    from seeds.quantity import Mean

    return _interval(Mean(nats[None], found.weights, random=False, **scored.drawn))


def _interval(mean: "Mean") -> str:
    found = mean.interval(LEVEL)
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def _require_free(output: Path, force: bool, *sources: Path) -> None:
    """Refuses to overwrite a file or a filled folder unless told to, and what is being read even then."""
    if any(output.resolve() == source.resolve() for source in sources):
        raise StoreError(f"{output} is what this command reads; write to another place")
    if output.exists() and not force and not (output.is_dir() and not any(output.iterdir())):
        raise StoreError(f"{output} exists; --force overwrites it")


def plain(text: str, most: int = LONGEST) -> str:
    """Words of a stranger's file as a terminal may show them: nothing that moves its cursor, and not without end."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: most + 1])
    encoding = sys.stdout.encoding or "utf-8"
    shown = shown.encode(encoding, "backslashreplace").decode(encoding)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def _energies(seed: "Seed") -> list[float]:
    return [entry.captured_energy for entry in seed.entries if entry.captured_energy is not None]


def _spread(energies: list[float]) -> str:
    if not energies:
        return ""
    mean = sum(energies) / len(energies)
    return f"{mean:.4f} of each matrix on average, {min(energies):.4f} to {max(energies):.4f}, {len(energies)} matrices"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
