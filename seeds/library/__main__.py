"""`python -m seeds.library train NAME [--into FOLDER]`: rebuilds a subject's weights and its card from its recipe."""

import argparse
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from seeds.errors import SeedError, SubjectUnavailable
from seeds.quantity import Mean, stack
from seeds.store import save, write_whole
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
        if options.name == "docs-corpus":
            from seeds.library.docs_corpus import train

            train(options.into / "docs_tokenizer.json", options.into / "docs_shingles.safetensors")
        elif subject(options.name).body:
            _publish(subject(options.name), options.table, options.into)
        else:
            one = subject(options.name)
            _train(one, options.into, one.rng_seed if options.rng_seed is None else options.rng_seed)
    except (SeedError, SubjectUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _train(one: Subject, folder: Path, rng_seed: int) -> None:
    from safetensors.torch import save_model

    started = time.perf_counter()
    model = one.module.train(rng_seed) if one.task_name.startswith("digits") else one.module.train()
    elapsed_s = time.perf_counter() - started
    scratch = folder / f".{one.stem}.safetensors"
    save_model(model, str(scratch))
    write_whole(folder / f"{one.stem}.safetensors", scratch.read_bytes())
    scratch.unlink()
    _record(one, model, folder, rng_seed, elapsed_s)


def _record(one: Subject, model: nn.Module, folder: Path, rng_seed: int, elapsed_s: float) -> None:
    """Measures a trained network and writes its card."""
    found = evaluate(model.eval(), one.forward, one.task)
    if found.correct is not None:
        quality = Mean(stack([found.correct]), bounds=(0.0, 1.0), random=False).interval(LEVEL)
    else:
        quality = Mean(stack([found.nats]), weights=found.weights, random=False).interval(LEVEL)
    card = {
        "subject": one.name,
        "recipe": f"seeds/library/{one.recipe or one.stem}.py",
        "says": (one.module.__doc__ or "").splitlines()[0],
        "task": f"{one.task_name}: {one.task.says}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "size_bytes": (folder / f"{one.stem}.safetensors").stat().st_size,
        "test_examples": len(found.nats),
        "quality": "accuracy" if found.correct is not None else "nats per token",
        "value": round(quality.value, 4),
        "interval_95": [round(quality.low, 4), round(quality.high, 4)],
        "rng_seed": rng_seed,
        "training_s": round(elapsed_s, 1),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
        "threads": torch.get_num_threads(),
    }
    write_whole(folder / f"{one.stem}.json", (json.dumps(card, indent=1) + "\n").encode())
    print(json.dumps(card, indent=1))


def _publish(one: Subject, table: Path | None, folder: Path) -> None:
    from seeds.library.published import seed_from_table

    if table is None:
        raise SubjectUnavailable(f"{one.name} is made from published figures; name their JSON file with --table")
    seed = seed_from_table(table, one.module.SOURCE)
    size = save(seed, folder / f"{one.stem}.seed.safetensors")
    card = {
        "subject": one.name,
        "recipe": f"seeds/library/{one.recipe or one.stem}.py",
        "says": (one.module.__doc__ or "").splitlines()[0],
        "source": one.module.SOURCE,
        "parameters": seed.parameters,
        "tensors": len(seed.entries),
        "size_bytes": size,
        "weights": "not part of this package",
    }
    write_whole(folder / f"{one.stem}.json", (json.dumps(card, indent=1) + "\n").encode())
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    sys.exit(main())
