"""Fixtures: tiny models as folders, commands run in this process, an empty cache, and counts of models that were asked for."""

from collections import Counter
from pathlib import Path

import pytest

from tests.folders import WORDS, saved, written


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # `score` sets it; monkeypatch puts it back


@pytest.fixture(scope="session")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["<pad>", "<unk>", *WORDS])}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>")


@pytest.fixture(scope="session")
def classifier(tmp_path_factory, tokenizer):
    """Folder of a BERT classifier into "left" and "right", with weights large enough that its answers differ."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, initializer_range=0.5, id2label={0: "left", 1: "right"},
    )  # fmt: skip
    return saved(lambda: BertForSequenceClassification(config), tokenizer, tmp_path_factory.mktemp("models") / "classifier")


@pytest.fixture(scope="session")
def language_model(tmp_path_factory, tokenizer):
    """Folder of a GPT-2 whose output layer is tied to its embedding."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=32, n_embd=16, n_layer=1, n_head=2, n_positions=16, bos_token_id=1, eos_token_id=1)
    return saved(lambda: GPT2LMHeadModel(config), tokenizer, tmp_path_factory.mktemp("models") / "language")


@pytest.fixture
def rows(tmp_path):
    """A balanced .jsonl file: 20 rows of each label."""
    return written(tmp_path / "rows.jsonl", ["left", "right"] * 20)


@pytest.fixture
def seeds(capsys, offline):
    """Runs a command in this process: (exit status, stdout, stderr)."""
    from seeds.__main__ import main

    def run(*arguments: str | Path):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def seed_file(seeds, classifier, tmp_path):
    assert seeds("extract", classifier, "--codec", "exact", "-o", tmp_path / "exact.seed")[0] == 0
    return tmp_path / "exact.seed"


@pytest.fixture
def asked(monkeypatch):
    """How often each model was asked for: by arm and run."""
    from seeds.measure import Measure

    calls, model = Counter(), Measure.model

    def counting(self, one, arm, run):
        calls[arm, run] += 1
        return model(self, one, arm, run)

    monkeypatch.setattr(Measure, "model", counting)
    return calls


@pytest.fixture
def folder(tmp_path, monkeypatch, offline):
    """An empty local cache, off the network: whoever calls or waits fails, even if the caller hides it."""
    import socket
    import time

    from huggingface_hub import constants

    tried = []
    for module, name in ((socket.socket, "connect"), (socket, "create_connection"), (socket, "getaddrinfo"), (time, "sleep")):
        monkeypatch.setattr(module, name, lambda *values, name=name, **_: tried.append((name, values)))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield tmp_path / "hub"
    assert not tried
