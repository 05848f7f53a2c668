"""`python -m seeds.library train NAME [--into FOLDER]`: rebuilds a subject's weights and its card from its recipe."""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from seeds.errors import SeedError, StoreError, SubjectUnavailable
from seeds.file import alone, write_whole
from seeds.library import card
from seeds.quantity import Mean, stack
from seeds.store import to_bytes
from seeds.subject import LIBRARY, SUBJECTS, Subject, evaluate, one_thread, subject

VERSIONS = ("torch", "transformers", "numpy", "scipy", "scikit-learn", "pandas", "networkx", "sympy")
LEVEL = 0.025  # each side of the 95 % interval on the card


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m seeds.library", description=__doc__)
    parser.add_argument("action", choices=["train"])
    parser.add_argument("name", choices=["docs-corpus", *SUBJECTS])
    parser.add_argument("--into", type=Path, default=LIBRARY, help="folder for the files (default: the library itself)")
    parser.add_argument("--table", type=Path, help="for gpt2 and bert-tiny: JSON with shape, mean and std per tensor")
    parser.add_argument("--rng-seed", type=int, help="of the training run (digits only; default: the subject's own)")
    options = parser.parse_args(arguments)
    one_thread()
    try:
        _require_folder(options.into)
        if options.name == "docs-corpus":
            _corpus(options.into)
        elif subject(options.name).body:
            _publish(subject(options.name), options.table, options.into)
        else:
            one = subject(options.name)
            _train(one, options.into, one.rng_seed if options.rng_seed is None else options.rng_seed)
    except (SeedError, SubjectUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _require_folder(folder: Path) -> None:
    """Refuses before hours of training what would be refused after them."""
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise StoreError(f"cannot write to {folder}: it has to be a folder that is there and may be written")


def _corpus(folder: Path) -> None:
    """Both files are made elsewhere, since a tokenizer does not save itself whole or not at all."""
    from seeds.library.docs_corpus import train

    names = ("docs_shingles.safetensors", "docs_tokenizer.json")
    with tempfile.TemporaryDirectory(prefix="seeds-") as scratch:
        train(Path(scratch) / names[1], Path(scratch) / names[0])
        with alone(folder):
            for name in names:
                write_whole(folder / name, (Path(scratch) / name).read_bytes())


def _train(one: Subject, folder: Path, rng_seed: int) -> None:
    started = time.perf_counter()
    model = one.module.train(rng_seed) if one.task_name.startswith("digits") else one.module.train()
    elapsed_s = time.perf_counter() - started
    told = card.write(_measured(one, model, rng_seed, elapsed_s), _packed(model), folder / f"{one.stem}.safetensors")
    print(json.dumps(told, indent=1))


def _packed(model: nn.Module) -> bytes:
    """The content of the model's file; safetensors knows which names share a tensor only when it writes to a place."""
    from safetensors.torch import save_model

    with tempfile.TemporaryDirectory(prefix="seeds-") as scratch:
        save_model(model, f"{scratch}/model.safetensors")
        return Path(scratch, "model.safetensors").read_bytes()


def _measured(one: Subject, model: nn.Module, rng_seed: int, elapsed_s: float) -> dict:
    """What the card says of a trained network."""
    found = evaluate(model.eval(), one.forward, one.task)
    drawn = one.task.splits()["test"].drawn
    if found.correct is not None:
        quality = Mean(stack([found.correct]), bounds=(0.0, 1.0), random=False, **drawn).interval(LEVEL)
    else:
        quality = Mean(stack([found.nats]), weights=found.weights, random=False, **drawn).interval(LEVEL)
    return {
        "subject": one.name,
        "recipe": f"seeds/library/{one.recipe or one.stem}.py",
        "says": (one.module.__doc__ or "").splitlines()[0],
        "task": f"{one.task_name}: {one.task.says}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "test_examples": len(found.nats),
        "quality": "accuracy" if found.correct is not None else "nats per token",
        "value": round(quality.value, 4),
        "interval_95": [round(quality.low, 4), round(quality.high, 4)],
        "rng_seed": rng_seed,
        "training_s": round(elapsed_s, 1),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
        "threads": torch.get_num_threads(),
    }


def _publish(one: Subject, table: Path | None, folder: Path) -> None:
    from seeds.library.published import seed_from_table

    if table is None:
        raise SubjectUnavailable(f"{one.name} is made from published figures; name their JSON file with --table")
    seed = seed_from_table(table, one.module.SOURCE)
    said = {
        "subject": one.name,
        "recipe": f"seeds/library/{one.recipe or one.stem}.py",
        "says": (one.module.__doc__ or "").splitlines()[0],
        "source": one.module.SOURCE,
        "parameters": seed.parameters,
        "tensors": len(seed.entries),
        "weights": "not part of this package",
    }
    print(json.dumps(card.write(said, to_bytes(seed), folder / f"{one.stem}.seed.safetensors"), indent=1))


if __name__ == "__main__":
    sys.exit(main())
