"""The command line: every command on tiny models of the user's own, and one line of error for whatever is wrong."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = [f"w{number}" for number in range(30)]


@pytest.fixture(autouse=True)
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


def saved(architecture, tokenizer, folder: Path) -> Path:
    from transformers.utils import logging

    from seeds.library.training import rng

    logging.disable_progress_bar()
    with rng(0):
        architecture().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def rows(tmp_path):
    """A balanced .jsonl file: 20 rows of each label."""
    return written(tmp_path / "rows.jsonl", ["left", "right"] * 20)


def written(path: Path, labels, seed: int = 0) -> Path:
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(3, 12))) for _ in labels]
    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def seeds(capsys):
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


def refusal(result) -> str:
    """The one line that a command said on refusing."""
    status, out, err = result
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def figures(out: str) -> list[str]:
    return out.splitlines()[1:]  # without the line that names the model


def test_the_module_runs_and_lists_without_transformers():
    command = [sys.executable, "-X", "importtime", "-m", "seeds", "list"]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "digits-mlp" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert imported & {"seeds.cli", "transformers"} == {"seeds.cli"}


def test_list_shows_subjects_codecs_and_tasks(seeds):
    from seeds.codecs import REGISTRY
    from seeds.subject import SUBJECTS
    from seeds.task import TASKS

    status, out, _ = seeds("list")
    assert status == 0
    for name in (*SUBJECTS, *TASKS, *(codec.forms for codec in REGISTRY.values())):
        assert any(line.startswith(name) for line in out.splitlines()), name
    card = SUBJECTS["digits-mlp"].card
    row = next(line for line in out.splitlines() if line.startswith("digits-mlp"))
    for figure in (
        f"{card['value']:.4f}",
        f"{card['interval_95'][0]:.4f}",
        f"{card['parameters']:,}",
        f"{card['size_bytes']:,}",
    ):
        assert figure in row
    assert out.count("published moments only") == 2


def test_list_gives_the_size_of_the_moments_seed_that_extract_writes(seeds, tmp_path):
    assert seeds("extract", "digits-mlp", "--codec", "moments", "-o", tmp_path / "seed")[0] == 0
    row = next(line for line in seeds("list")[1].splitlines() if line.startswith("digits-mlp"))
    assert row.split()[4] == f"{(tmp_path / 'seed').stat().st_size:,}"


def test_extract_prints_size_ratio_and_captured_energy(seeds, classifier, tmp_path):
    status, out, _ = seeds("extract", classifier, "--codec", "pca:2", "-o", tmp_path / "seed")
    size = (tmp_path / "seed").stat().st_size
    weights = 4 * sum(tensor.numel() for tensor in read(classifier / "model.safetensors").values())
    assert status == 0
    assert f"{size:,} bytes; the weights have {weights:,}, {weights / size:.4g} times that" in out
    assert "captured energy: 0." in out


def read(path: Path):
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.parametrize("what", ["file", "index", "subject", "published"])
def test_extract_takes_files_indices_and_subjects(seeds, what, classifier, language_model, tmp_path):
    from seeds.store import load

    source = {"file": classifier / "model.safetensors", "subject": "digits-cnn", "published": "gpt2"}.get(what)
    if what == "index":
        source = tmp_path / "model.safetensors.index.json"
        shutil.copy(language_model / "model.safetensors", tmp_path / "shard.safetensors")
        source.write_text(json.dumps({"weight_map": {"transformer.wte.weight": "shard.safetensors"}}))
    assert seeds("extract", source, "--codec", "moments", "-o", tmp_path / "seed")[0] == 0
    assert len(load(tmp_path / "seed").entries) == {"file": 25, "index": 16, "subject": 6, "published": 148}[what]


def test_inspect_shows_a_table_and_the_same_as_json(seeds, classifier, tmp_path):
    seeds("extract", classifier, "--codec", "pca:2+noise", "-o", tmp_path / "seed")
    status, out, _ = seeds("inspect", tmp_path / "seed")
    assert status == 0
    assert "... and 5 more; --all shows them" in out
    assert len(seeds("inspect", tmp_path / "seed", "--all")[1].splitlines()) == len(out.splitlines()) - 1 + 5

    told = json.loads(seeds("inspect", tmp_path / "seed", "--json")[1])
    assert (told["format"], told["codec"], told["tensors"]) == ("seed/1", "pca:2+noise", 25)
    assert told["file_bytes"] == (tmp_path / "seed").stat().st_size
    assert told["header_bytes"] == 8 + int.from_bytes((tmp_path / "seed").read_bytes()[:8], "little")
    assert told["parameters"] == sum(tensor.numel() for tensor in read(classifier / "model.safetensors").values())
    entry = next(entry for entry in told["entries"] if entry["name"] == "classifier.weight")
    assert entry["shape"] == entry["parts"]["components"] == [2, 16]
    assert entry["parts"]["scores"] == [2, 2]
    assert f"{entry['captured_energy']:.4f}" in seeds("inspect", tmp_path / "seed", "--all")[1]


def test_inspect_shows_shared_moments_once(seeds, classifier, tmp_path):
    seeds("extract", classifier, "--codec", "moments:global+vectors", "-o", tmp_path / "seed")
    assert "(shared)" in seeds("inspect", tmp_path / "seed")[1]
    assert set(json.loads(seeds("inspect", tmp_path / "seed", "--json")[1])["shared"]) == {"mean", "std"}


def test_assemble_writes_the_weights_that_an_exact_seed_holds(seeds, seed_file, classifier, tmp_path):
    import torch

    assert seeds("assemble", seed_file, "-o", tmp_path / "weights.safetensors")[0] == 0
    original, assembled = read(classifier / "model.safetensors"), read(tmp_path / "weights.safetensors")
    assert original.keys() == assembled.keys()
    assert all(torch.equal(original[name], assembled[name]) for name in original)


def test_assemble_stores_tied_tensors_once_and_load_model_takes_them(seeds, language_model, tmp_path):
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_model
    from transformers import GPT2Config, GPT2LMHeadModel

    from seeds import store
    from seeds.extract import extract

    config = GPT2Config.from_pretrained(language_model)
    model = GPT2LMHeadModel(config)
    store.save(extract(model, "exact"), tmp_path / "seed")
    assert seeds("assemble", tmp_path / "seed", "-o", tmp_path / "weights.safetensors")[0] == 0
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "lm_head.weight": "transformer.wte.weight"}
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 (a handle is no mapping)
    other = GPT2LMHeadModel(config)
    load_model(other, tmp_path / "weights.safetensors")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_rng_seed_decides_what_a_drawing_codec_assembles(seeds, classifier, tmp_path):
    seeds("extract", classifier, "--codec", "moments", "-o", tmp_path / "seed")
    for name, number in (("a", "1"), ("b", "1"), ("c", "2")):
        assert seeds("assemble", tmp_path / "seed", "-o", tmp_path / name, "--rng-seed", number)[0] == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("kind", ["classifier", "language_model"])
def test_an_assembled_folder_scores_exactly_as_its_original(seeds, kind, rows, tmp_path, request):
    original = request.getfixturevalue(kind)
    assert seeds("extract", original, "--codec", "exact", "-o", tmp_path / "seed")[0] == 0
    assert seeds("inspect", tmp_path / "seed")[0] == 0
    assert seeds("assemble", tmp_path / "seed", "-o", f"{tmp_path / 'copy'}/", "--like", original)[0] == 0
    status, out, err = seeds("score", tmp_path / "copy", "--task", rows)
    assert (status, err) == (0, "")
    assert figures(out) == figures(seeds("score", original, "--task", rows)[1])
    assert figures(out) == figures(seeds("score", tmp_path / "seed", "--into", original, "--task", rows)[1])

    seeds("extract", original, "--codec", "moments", "-o", tmp_path / "moments")
    assert figures(out) != figures(seeds("score", tmp_path / "moments", "--into", original, "--task", rows)[1])


def test_the_score_of_a_classifier_is_that_of_transformers_and_statsmodels(seeds, classifier, rows):
    import torch
    from statsmodels.stats.proportion import proportion_confint
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(classifier).eval()
    tokenizer = AutoTokenizer.from_pretrained(classifier)
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    batch = tokenizer([row["text"] for row in found], padding=True, return_tensors="pt")
    labels = torch.tensor([["left", "right"].index(row["label"]) for row in found])
    with torch.inference_mode():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    right = int((logits.argmax(1) == labels).sum())
    low, high = proportion_confint(right, 40, method="beta")
    out = seeds("score", classifier, "--task", rows)[1]
    assert f"accuracy)        {right / 40:.4f} [{low:.4f}, {high:.4f}]" in out
    assert f"cross-entropy             {torch.nn.functional.cross_entropy(logits, labels).item():.4f} " in out
    assert "20 of each of 2 classes" in out
    assert "chance                    0.5000" in out


def test_the_score_of_a_language_model_counts_real_tokens_only(seeds, language_model, rows):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(language_model).eval()
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    total, tokens = 0.0, 0
    for line in rows.read_text().splitlines():
        ids = tokenizer(json.loads(line)["text"], return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            total += model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    out = seeds("score", language_model, "--task", rows)[1]
    assert f"cross-entropy)   {total / tokens:.4f} [" in out
    assert f"40 with {tokens:,} scored tokens" in out
    assert "chance                    3.4657 (uniform)" in out


def test_a_classifier_without_pad_token_is_scored_without_padding(seeds, tokenizer, rows, tmp_path):
    import torch
    from transformers import GPT2Config, GPT2ForSequenceClassification

    config = GPT2Config(
        vocab_size=32, n_embd=16, n_layer=1, n_head=2, n_positions=16, bos_token_id=1, eos_token_id=1,
        id2label={0: "left", 1: "right"}, initializer_range=0.5,
    )  # fmt: skip
    folder = saved(lambda: GPT2ForSequenceClassification(config), tokenizer, tmp_path / "model")
    model = GPT2ForSequenceClassification.from_pretrained(folder).eval()
    right = 0
    for row in map(json.loads, rows.read_text().splitlines()):
        with torch.inference_mode():
            logits = model(**tokenizer(row["text"], return_tensors="pt", return_token_type_ids=False)).logits
        right += ["left", "right"][int(logits.argmax())] == row["label"]
    assert f"accuracy)        {right / 40:.4f} [" in seeds("score", folder, "--task", rows)[1]


def test_other_rows_fit_the_calibrated_figures(seeds, classifier, language_model, rows, tmp_path):
    other = written(tmp_path / "other.jsonl", [0, 1] * 20, seed=1)
    assert "calibrated" not in seeds("score", classifier, "--task", rows)[1]
    assert "calibrated accuracy" in seeds("score", classifier, "--task", rows, "--calibration", other)[1]
    assert "inverse temperature" in seeds("score", language_model, "--task", rows, "--calibration", other)[1]
    assert "cannot fit the calibration" in refusal(seeds("score", classifier, "--task", rows, "--calibration", rows))


def test_unbalanced_rows_are_cut_to_balance_whatever_their_order(seeds, classifier, tmp_path):
    labels = [0] * 30 + [1] * 12
    path = written(tmp_path / "unbalanced.jsonl", labels)
    status, out, err = seeds("score", classifier, "--task", path)
    assert status == 0
    assert "24 of 42 rows are scored, 12 of each class" in err
    assert "24, 12 of each of 2 classes" in out
    lines = path.read_text().splitlines()
    path.write_text("\n".join(reversed(lines)))
    assert accuracy(seeds("score", classifier, "--task", path)[1]) == accuracy(out)


def accuracy(out: str) -> str:
    return next(line for line in out.splitlines() if "accuracy" in line)


def test_long_and_empty_texts_are_cut_and_left_out_aloud(seeds, language_model, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in ("", "w1", "w1 w2 w3", " ".join(WORDS))))
    status, out, err = seeds("score", language_model, "--task", path)
    assert status == 0
    assert "2 of 4 texts have fewer than 2 tokens" in err
    assert "1 of 4 texts are cut to 16 tokens" in err  # the model has 16 positions
    assert "2 with 17 scored tokens" in out
    assert "2 with 9 scored tokens" in seeds("score", language_model, "--task", path, "--max-tokens", "8")[1]


def test_a_subject_and_its_seed_are_scored_on_its_task(seeds, tmp_path):
    from seeds.subject import SUBJECTS

    card = SUBJECTS["digits-mlp"].card
    low, high = card["interval_95"]
    out = seeds("score", "digits-mlp", "--task", "digits")[1]
    assert f"{card['value']:.4f} [{low:.4f}, {high:.4f}]" in out
    assert "450, 45 of each of 10 classes" in out
    assert "calibrated cross-entropy" in out
    assert "300, 30 of each" in seeds("score", "digits-mlp", "--task", "digits", "--split", "probe")[1]
    seeds("extract", "digits-mlp", "--codec", "exact", "-o", tmp_path / "seed")
    assert figures(seeds("score", tmp_path / "seed", "--into", "digits-mlp", "--task", "digits")[1]) == figures(out)


def test_score_without_a_task_lists_the_choices(seeds, classifier):
    status, out, err = seeds("score", classifier)
    assert (status, out) == (2, "")
    assert "docs-topic" in err


@pytest.mark.parametrize(
    ("codec", "says"),
    [("zip", "unknown codec 'zip'"), ("pca:99", "rank 99 is out of range: 1 to 16"), ("pca:0", "out of range")],
    ids=["unknown", "rank-too-large", "rank-zero"],
)
def test_a_bad_codec_is_refused(seeds, classifier, tmp_path, codec, says):
    assert says in refusal(seeds("extract", classifier, "--codec", codec, "-o", tmp_path / "seed"))
    assert not (tmp_path / "seed").exists()


def test_published_subjects_have_no_other_codec_and_no_score(seeds, tmp_path):
    assert "allowed: moments" in refusal(seeds("extract", "gpt2", "--codec", "exact", "-o", tmp_path / "seed"))
    assert "only its moments" in refusal(seeds("score", "gpt2", "--task", "random-ids"))


def test_what_exists_or_is_being_read_is_not_overwritten(seeds, seed_file, classifier, tmp_path):
    before = seed_file.read_bytes()
    assert "--force overwrites" in refusal(seeds("extract", classifier, "--codec", "moments", "-o", seed_file))
    assert "--force overwrites" in refusal(seeds("assemble", seed_file, "-o", classifier / "model.safetensors"))
    assert "this command reads" in refusal(seeds("assemble", seed_file, "-o", seed_file, "--force"))
    assert "this command reads" in refusal(seeds("assemble", seed_file, "-o", classifier, "--like", classifier, "--force"))
    assert seed_file.read_bytes() == before
    assert seeds("extract", classifier, "--codec", "moments", "-o", seed_file, "--force")[0] == 0
    assert len(seed_file.read_bytes()) < len(before)


def test_a_missing_folder_is_refused(seeds, seed_file, rows, tmp_path):
    assert "no such file" in refusal(seeds("extract", tmp_path / "none", "--codec", "moments", "-o", tmp_path / "seed"))
    assert "No such file" in refusal(seeds("inspect", tmp_path / "none"))
    assert "config.json" in refusal(seeds("score", tmp_path / "none", "--task", rows))
    assert "config.json" in refusal(seeds("assemble", seed_file, "-o", tmp_path / "copy", "--like", tmp_path / "none"))
    assert "cannot write" in refusal(seeds("assemble", seed_file, "-o", tmp_path / "none" / "weights.safetensors"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["exact.seed", "rows.jsonl"]


@pytest.mark.parametrize("command", ["inspect", "assemble", "score"])
@pytest.mark.parametrize(
    "damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: raw[:-1] + b"?"], ids=["cut", "empty", "changed"]
)
def test_a_damaged_seed_file_is_refused(seeds, seed_file, classifier, rows, tmp_path, command, damage):
    seed_file.write_bytes(damage(seed_file.read_bytes()))
    more = {"inspect": [], "assemble": ["-o", tmp_path / "out"], "score": ["--into", classifier, "--task", rows]}[command]
    assert str(seed_file) in refusal(seeds(command, seed_file, *more))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("parts", [{}, {"values": 4}], ids=["no-parts", "other-size"])
def test_a_whole_seed_file_with_wrong_parts_is_refused(seeds, rows, classifier, tmp_path, parts):
    import torch

    from seeds import store
    from seeds.seed import Entry, Seed

    entry = Entry("weight", (3, 3), "float32", "exact", {name: torch.zeros(count) for name, count in parts.items()})
    store.save(Seed("exact", (entry,)), tmp_path / "seed")
    assert "do not make its tensors" in refusal(seeds("assemble", tmp_path / "seed", "-o", tmp_path / "out"))
    assert "do not make its tensors" in refusal(seeds("score", tmp_path / "seed", "--into", classifier, "--task", rows))


def test_a_seed_of_other_shapes_is_refused(seeds, seed_file, classifier, language_model, rows, tmp_path):
    wide = tmp_path / "wide"
    shutil.copytree(classifier, wide)
    (wide / "config.json").write_text((wide / "config.json").read_text().replace('"vocab_size": 32', '"vocab_size": 33'))
    for said in (
        refusal(seeds("score", seed_file, "--into", wide, "--task", rows)),
        refusal(seeds("assemble", seed_file, "-o", tmp_path / "copy", "--like", wide)),
    ):
        assert "(32, 16) in the weights, (33, 16) in the model" in said
    assert "not in the model: bert" in refusal(seeds("score", seed_file, "--into", language_model, "--task", rows))
    assert "does not fit" in refusal(seeds("score", seed_file, "--into", "digits-mlp", "--task", "digits"))
    assert not (tmp_path / "copy").exists()


def test_a_folder_that_lacks_weights_is_not_filled_with_random_ones(seeds, classifier, rows, tmp_path):
    from safetensors.torch import save_file

    folder = tmp_path / "headless"
    shutil.copytree(classifier, folder)
    weights = read(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "missing: classifier.weight" in refusal(seeds("score", folder, "--task", rows))
    (folder / "model.safetensors").write_bytes(b"nothing")
    assert "cannot be read" in refusal(seeds("score", folder, "--task", rows))
    (folder / "config.json").write_text("{")
    assert "cannot be read" in refusal(seeds("score", folder, "--task", rows))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": "w1"', '\'{"text": "w1"\''),
        ('["w1"]', "no JSON object with a 'text'"),
        ('{"text": 5, "label": 0}', "no JSON object with a 'text'"),
        ('{"text": "w1"}', "has the label None; allowed: 0 to 1 or one of left, right"),
        ('{"text": "w1", "label": 2}', "has the label 2"),
        ('{"text": "w1", "label": "up"}', "has the label 'up'"),
        ('{"text": "\\ud800", "label": 0}', "no JSON object with a 'text'"),
        ("\\xff\\x00", "line 3"),
    ],
    ids=["cut", "list", "number", "no-label", "label-too-large", "unknown-label", "surrogate", "binary"],
)
def test_a_malformed_row_is_named_with_its_line(seeds, classifier, tmp_path, line, says):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "w1", "label": 0}\n\n' + line + "\n")
    said = refusal(seeds("score", classifier, "--task", path))
    assert "rows.jsonl line 3" in said
    assert says in said


def test_rows_that_cannot_be_balanced_are_refused(seeds, classifier, tmp_path):
    path = written(tmp_path / "one.jsonl", [0] * 5)
    assert "it has 0: 5, 1: 0" in refusal(seeds("score", classifier, "--task", path))
    path.write_text("\n")
    assert "0 texts" in refusal(seeds("score", classifier, "--task", path))
    assert "No such file" in refusal(seeds("score", classifier, "--task", tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("chess", "unknown task 'chess'; allowed: digits"),
        ("docs-topic", "classifier into 6 classes with a vocabulary of 2048; "),
        ("docs-text", "language model with a vocabulary of 2048; "),
        ("digits", "pixels into 10 classes; "),
        ("random-labels", "vocabulary of 30522; "),
    ],
)
def test_a_task_that_does_not_fit_is_refused_with_both_numbers(seeds, classifier, task, says):
    said = refusal(seeds("score", classifier, "--task", task))
    assert says in said
    assert task == "chess" or "classifier into 2 classes with a vocabulary of 32" in said


def test_a_task_of_another_tokenizer_or_length_is_refused(seeds, tokenizer, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=2048, n_embd=8, n_layer=1, n_head=1, n_positions=16, bos_token_id=1, eos_token_id=1)
    folder = saved(lambda: GPT2LMHeadModel(config), tokenizer, tmp_path / "model")
    said = refusal(seeds("score", folder, "--task", "docs-text"))
    assert "a tokenizer of 2048 tokens" in said
    assert "shares 1" in said  # the pad token
    (folder / "tokenizer.json").unlink()
    assert "examples of 64 tokens" in refusal(seeds("score", folder, "--task", "docs-text"))


def test_a_folder_without_tokenizer_cannot_read_text(seeds, classifier, rows, tmp_path):
    folder = tmp_path / "mute"
    shutil.copytree(classifier, folder)
    (folder / "tokenizer.json").unlink()
    assert "no tokenizer" in refusal(seeds("score", folder, "--task", rows))
    assert "no tokenizer" in refusal(seeds("score", "digits-mlp", "--task", rows))


def test_the_calibration_split_is_never_scored(seeds):
    for split in ("calibration", "none"):
        assert "allowed: test, probe, train" in refusal(seeds("score", "digits-mlp", "--task", "digits", "--split", split))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["melt"],
        ["extract", "digits-mlp", "-o", "seed"],
        ["assemble", "seed", "-o", "folder/"],
        ["assemble", "seed", "-o", "weights.safetensors", "--like", "folder"],
        ["assemble", "seed", "-o", "weights", "--rng-seed", "one"],
        ["score", "digits-mlp", "--task", "rows.jsonl", "--split", "probe"],
        ["score", "digits-mlp", "--task", "rows.jsonl", "--max-tokens", "1"],
        ["score", "digits-mlp", "--task", "digits", "--calibration", "rows.jsonl"],
    ],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_wrong_usage_exits_with_2(seeds, arguments):
    status, out, err = seeds(*arguments)
    assert (status, out) == (2, "")
    assert "usage: python -m seeds" in err


def test_an_rng_seed_out_of_range_is_refused(seeds, seed_file, tmp_path):
    assert "-1" in refusal(seeds("assemble", seed_file, "-o", tmp_path / "out", "--rng-seed", "-1"))
    assert [file.name for file in tmp_path.iterdir()] == ["exact.seed"]
