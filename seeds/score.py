"""Scores: one model on one task, for people who bring a model or examples of their own.

    model (subject, folder, or seed + architecture) -> task (embedded, or rows of JSONL) -> [score]

Folders are those of `save_pretrained`: read from this machine only, and refused where they lack weights, because
`transformers` would fill the gap with random ones. Nothing is unpickled and no code of a folder is run.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seeds import data
from seeds.assemble import assemble_to
from seeds.corpus import PACKAGES
from seeds.data import Examples
from seeds.errors import ProtocolError, SeedError, SubjectUnavailable
from seeds.evaluate import Evaluation, Forward, Head, evaluate_classifier, evaluate_language_model
from seeds.library.docs_corpus import VOCABULARY as DOCS_VOCABULARY
from seeds.seed import Seed
from seeds.subject import SUBJECTS, Subject
from seeds.task import BERT_VOCABULARY, Kind, Task, task

COPIED = ("*.json", "*.txt", "*.model", "*.jinja")  # configuration and tokenizer, by the names that transformers gives
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
READS_DOCS = ("docs-topic", "docs-text")
VOCABULARIES = {"docs-topic": DOCS_VOCABULARY, "docs-probe": DOCS_VOCABULARY, "imdb": BERT_VOCABULARY}

Tokenize = Callable[[list[str], int], tuple[list[list[int]], int]]  # texts, limit -> ids of each, and how many were cut
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network that can be asked.

    Args:
        name: how messages call it.
        network: in eval mode.
        forward: see `seeds.evaluate`.
        kind: what it can be asked.
        classes: its labels, or the size of its vocabulary.
        vocabulary: token ids that it reads; None if it reads pixels.
        positions: most tokens that it reads at once; None if unlimited.
        label_ids: class numbers by name.
        tokenize: None where no tokenizer is at hand.
        tokens: the tokenizer's ids by token; None where they are not known.
    """

    name: str
    network: nn.Module
    forward: Forward
    kind: Kind
    classes: int
    vocabulary: int | None
    positions: int | None
    label_ids: dict[str, int]
    tokenize: Tokenize | None = None
    tokens: dict[str, int] | None = None


def open_model(name: str) -> Model:
    """The original of a subject, or the model of a folder.

    Raises:
        SubjectUnavailable: no such subject or folder, or not one with a trained classifier or language model.
    """
    if name in SUBJECTS:
        one = SUBJECTS[name]
        if one.weights_path is not None and not one.weights_path.is_file():
            raise SubjectUnavailable(f"{name} is not trained yet: python -m seeds.library train {name}")
        return _of_subject(one, one.original())
    return _of_folder(Path(name), Path(name))


def rebuilt(seed: Seed, into: str, rng_seed: int) -> Model:
    """The model that a seed gives in the architecture of a subject or folder."""
    if into in SUBJECTS:
        return _of_subject(SUBJECTS[into], SUBJECTS[into].assembled(seed, rng_seed))
    with tempfile.TemporaryDirectory(prefix="seeds-") as scratch:
        fill_folder(Path(scratch), seed, rng_seed, Path(into))
        return _of_folder(Path(scratch), Path(into))


def _of_subject(one: Subject, network: nn.Module) -> Model:
    config = getattr(network, "config", None)
    vocabulary, positions = (None, None) if config is None else (config.vocab_size, config.max_position_embeddings)
    labels = {package: number for number, package in enumerate(PACKAGES)} if one.task_name == "docs-topic" else {}
    tokens = data.docs_tokenizer().get_vocab() if one.task_name in READS_DOCS else None
    return Model(
        one.name, network, one.forward, one.task.kind, one.task.classes, vocabulary, positions, labels,
        None if tokens is None else _docs_tokenize, tokens,
    )  # fmt: skip


def _docs_tokenize(texts: list[str], limit: int) -> tuple[list[list[int]], int]:
    ids, mask = data.encode(texts, limit + 1)
    whole = mask.sum(1).tolist()
    return [row[: min(count, limit)].tolist() for row, count in zip(ids, whole, strict=True)], sum(n > limit for n in whole)


def _of_folder(folder: Path, name: Path) -> Model:
    network = load(folder, name)
    config, kind = network.config, _kind(type(network).__name__, name)
    classes = config.num_labels if kind == "classification" else config.vocab_size
    if classes < 2 or getattr(config, "problem_type", None) == "multi_label_classification":
        raise ProtocolError(
            f"{name} has {classes} label(s), problem type {config.problem_type}; allowed: one label of 2 or more"
        )
    forward = _predict_next if kind == "language" else _classify
    positions = getattr(config, "max_position_embeddings", None)
    label_ids = {label: number for number, label in (config.id2label or {}).items()} | (config.label2id or {})
    return Model(str(name), network, forward, kind, classes, config.vocab_size, positions, label_ids, *_tokenizer(folder, name))


def _kind(architecture: str, name: Path) -> Kind:
    if architecture.endswith("ForSequenceClassification"):
        return "classification"
    if architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return "language"
    raise SubjectUnavailable(f"{name} holds a {architecture}; allowed: *ForSequenceClassification, *ForCausalLM, *LMHeadModel")


def load(folder: Path, name: Path):
    """The model that a folder's `config.json` names, in float32; `name` is what messages call the folder.

    Raises:
        SubjectUnavailable: no such folder, or transformers cannot read it.
        SeedError: the folder lacks a weight, or one has another shape.
    """
    _require_config(name)
    with _quietly(f"the model in {name}"):
        import transformers

        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        architecture: Any = getattr(transformers, (config.architectures or ["(no architecture)"])[0])
        network, report = architecture.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, dtype=torch.float32,
            output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    shapes = sorted(map(_mismatch, report["mismatched_keys"]))
    missing = sorted(report["missing_keys"])
    if missing or shapes:
        found = {"missing": missing, "other shapes": shapes, "not in the model": sorted(report["unexpected_keys"])}
        told = "; ".join(f"{what}: {', '.join(which[:4])} ({len(which)})" for what, which in found.items() if which)
        raise SeedError(f"the weights do not fill the {type(network).__name__} of {name}; {told}")
    network.config.use_cache = False
    return network.eval()


def _mismatch(found: str | tuple) -> str:
    """A tensor of another shape: transformers 4 tells its name only."""
    if isinstance(found, str):
        return found
    name, stored, expected = found
    return f"{name}: {tuple(stored)} in the weights, {tuple(expected)} in the model"


def _require_config(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise SubjectUnavailable(f"{folder} is no model folder with a config.json, nor a subject: {', '.join(SUBJECTS)}")


@contextmanager
def _quietly(what: str) -> Iterator[None]:
    """Turns whatever a foreign folder makes transformers raise into one named error, and keeps its own reports off stderr."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except Exception as error:
        raise SubjectUnavailable(f"{what} cannot be read: {type(error).__name__}: {error}"[:400]) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _tokenizer(folder: Path, name: Path) -> tuple[Tokenize | None, dict[str, int] | None]:
    if not any((folder / file).is_file() for file in TOKENIZERS):
        return None, None  # transformers would make an empty one
    with _quietly(f"the tokenizer in {name}"):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)

    def tokenize(texts: list[str], limit: int) -> tuple[list[list[int]], int]:
        with _quietly(f"text, by the tokenizer in {name},"):
            batch = tokenizer(texts, truncation=True, max_length=min(limit, tokenizer.model_max_length))
        return batch["input_ids"], sum(bool(one.overflowing) for one in batch.encodings or [])

    return tokenize, tokenizer.get_vocab()


def _predict_next(model: nn.Module, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Head]:
    """Logits, and a head that leaves them: what follows the last states differs by architecture. Pads are the model's own."""
    assert mask is not None
    ids = ids.masked_fill(~mask, max(0, getattr(model.config, "pad_token_id", None) or 0))
    return model(input_ids=ids, attention_mask=mask.long()).logits, lambda logits: logits


def _classify(model: nn.Module, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Head]:
    """Row by row without padding where the model has no pad token: it might read another one as the last word."""
    if mask is None or getattr(model.config, "pad_token_id", None) is not None:
        return _predict_next(model, ids, mask)
    rows = [model(input_ids=row[real][None]).logits for row, real in zip(ids, mask, strict=True)]
    return torch.cat(rows), lambda logits: logits


def fill_folder(folder: Path, seed: Seed, rng_seed: int, like: Path) -> int:
    """Writes assembled weights into a folder, with the configuration and tokenizer of `like` beside them; bytes of weights."""
    _require_config(like)
    for pattern in COPIED:
        for file in like.glob(pattern):
            if not file.name.endswith(".index.json"):
                shutil.copyfile(file, folder / file.name)
    return assemble_to(seed, folder / "model.safetensors", rng_seed)


def named_task(name: str, model: Model) -> Task:
    """An embedded task that fits the model.

    Raises:
        SubjectUnavailable: no such task, or its examples are not on this machine.
        ProtocolError: kind, vocabulary, classes, tokenizer or length of the two differ.
    """
    on = task(name)
    vocabulary = on.classes if on.kind == "language" else VOCABULARIES.get(name)
    asked, has = _reads(on.kind, on.classes, vocabulary), _reads(model.kind, model.classes, model.vocabulary)
    if asked != has:
        raise ProtocolError(f"task {name!r} needs {asked}; {model.name} is {has}")
    if name in READS_DOCS and model.tokens is not None:
        tokens = data.docs_tokenizer().get_vocab()
        shared = len(tokens.items() & model.tokens.items())
        if shared != len(tokens):
            raise ProtocolError(f"task {name!r} has a tokenizer of {len(tokens)} tokens; that of {model.name} shares {shared}")
    tokens = on.splits()["test"].inputs.shape[1]
    if model.positions is not None and tokens > model.positions:
        raise ProtocolError(f"task {name!r} has examples of {tokens} tokens; {model.name} reads at most {model.positions}")
    return on


def _reads(kind: Kind, classes: int, vocabulary: int | None) -> str:
    if vocabulary is None:
        return f"a classifier of pixels into {classes} classes"
    what = "language model" if kind == "language" else f"classifier into {classes} classes"
    return f"a {what} with a vocabulary of {vocabulary}"


def jsonl_task(path: Path, calibration: Path | None, model: Model, max_tokens: int, tell: Tell) -> Task:
    """The rows of a JSONL file as a task, tokenized for the model; for a classifier the largest balanced part of them.

    Args:
        calibration: another file of rows, which fits the calibrated figures.
        tell: called with what was left out.

    Raises:
        ProtocolError: a malformed row, a class without rows, no text that can be scored, or no tokenizer.
    """
    if calibration is not None and calibration.resolve() == path.resolve():
        raise ProtocolError(f"{path} is scored and cannot fit the calibration; name another file")
    files = {"test": path} | ({} if calibration is None else {"calibration": calibration})
    splits = {split: _examples(file, model, max_tokens, tell) for split, file in files.items()}
    says = "the next token" if model.kind == "language" else "which label?"
    return Task(path.name, model.kind, model.classes, lambda: splits, says)


def _examples(path: Path, model: Model, max_tokens: int, tell: Tell) -> Examples:
    if model.tokenize is None:
        raise ProtocolError(f"{model.name} has no tokenizer at hand; a .jsonl task needs one")
    lines = enumerate(path.read_bytes().split(b"\n"), 1)
    rows = [_row(line, f"{path} line {number}", model) for number, line in lines if line.strip()]
    ids, cut = model.tokenize([text for text, _ in rows], min(max_tokens, model.positions or max_tokens)) if rows else ([], 0)
    least = 2 if model.kind == "language" else 1  # a language model's first token is context only
    kept = [i for i, tokens in enumerate(ids) if len(tokens) >= least]
    if not kept:
        raise ProtocolError(f"{path} has {len(rows)} texts, none of them of {least} or more tokens; at least one is needed")
    if len(kept) < len(rows):
        tell(f"{path}: {len(rows) - len(kept)} of {len(rows)} texts have fewer than {least} tokens and are left out")
    if cut:
        tell(f"{path}: {cut} of {len(rows)} texts are cut to {max(map(len, ids))} tokens")
    if model.kind == "classification":
        kept = _balanced(kept, rows, path, model, tell)
    largest = max(max(ids[i]) for i in kept)
    if largest >= (model.vocabulary or 0):
        raise ProtocolError(f"the tokenizer of {model.name} gives token id {largest}; its vocabulary holds {model.vocabulary}")
    inputs = nn.utils.rnn.pad_sequence([torch.tensor(ids[i]) for i in kept], batch_first=True)  # (examples, tokens)
    mask = torch.arange(inputs.shape[1]) < torch.tensor([len(ids[i]) for i in kept])[:, None]
    labels = torch.tensor([rows[i][1] for i in kept]) if model.kind == "classification" else None
    return Examples(inputs, labels, mask, str(path))


def _row(line: bytes, where: str, model: Model) -> tuple[str, int]:
    """Text and class number of one line; -1 for a language model."""
    shown = repr(line[:80].decode(errors="replace"))
    try:
        row = json.loads(line)
        text = row["text"]
        text.encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ProtocolError(f"{where} is no JSON object with a 'text': {shown}") from None
    if model.kind == "language":
        return text, -1
    label = row.get("label")
    number = model.label_ids.get(label) if isinstance(label, str) else label
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < model.classes:
        names = f" or one of {', '.join(list(model.label_ids)[:8])}" if model.label_ids else ""
        raise ProtocolError(f"{where} has the label {label!r}; allowed: 0 to {model.classes - 1}{names}: {shown}")
    return text, number


def _balanced(kept: list[int], rows: list[tuple[str, int]], path: Path, model: Model, tell: Tell) -> list[int]:
    """As many rows of each class as the rarest one has, chosen by a hash of the text, so whatever the order of lines."""
    by_hash = sorted(kept, key=lambda i: hashlib.sha256(rows[i][0].encode()).digest())
    by_class = [[i for i in by_hash if rows[i][1] == label] for label in range(model.classes)]
    fewest = min(map(len, by_class))
    if fewest == 0:
        counts = ", ".join(f"{label}: {len(mine)}" for label, mine in enumerate(by_class))
        raise ProtocolError(f"{path} needs rows of each of the {model.classes} classes; it has {counts}")
    if fewest * model.classes < len(kept):
        tell(f"{path}: {fewest * model.classes} of {len(kept)} rows are scored, {fewest} of each class, for balance")
    return sorted(i for mine in by_class for i in mine[:fewest])


def score(model: Model, on: Task, split: str = "test") -> Evaluation:
    """The model's scores on one split of a task that fits it, calibrated if the task has a split for that.

    Raises:
        ProtocolError: an unknown split or the calibration split, unbalanced classes, or outputs that are not finite.
    """
    splits = on.splits()
    if split not in splits or split == "calibration":
        allowed = ", ".join(name for name in splits if name != "calibration")
        raise ProtocolError(f"split {split!r} of {on.name} cannot be scored; allowed: {allowed} (calibration never is)")
    how = evaluate_classifier if on.kind == "classification" else evaluate_language_model
    return how(model.network, model.forward, splits[split], splits.get("calibration"))
