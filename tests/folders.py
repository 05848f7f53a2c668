"""Tiny models of a user's own as folders, rows as files, and what commands print."""

import json
import random
from pathlib import Path

WORDS = [f"w{number}" for number in range(30)]


def saved(architecture, tokenizer, folder: Path) -> Path:
    from transformers.utils import logging

    from seeds.library.training import rng

    logging.disable_progress_bar()
    with rng(0):
        architecture().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def written(path: Path, labels, seed: int = 0) -> Path:
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(3, 12))) for _ in labels]
    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def refusal(result) -> str:
    """The one line that a command said on refusing."""
    status, out, err = result
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def figures(out: str) -> list[str]:
    return out.splitlines()[1:]  # without the line that names the model


def accuracy(out: str) -> str:
    return next(line for line in out.splitlines() if "accuracy" in line)


def read(path: Path):
    """The tensors of a safetensors file by name."""
    from safetensors.torch import load_file

    return load_file(path)
