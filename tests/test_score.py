"""`python -m seeds score`: the figures of any saved model, on rows of one's own or an embedded task."""

import json
import shutil

import pytest

from tests.folders import WORDS, accuracy, figures, read, refusal, saved, written


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


def test_a_subject_is_scored_on_its_own_task_unless_another_is_named(seeds, tmp_path):
    seeds("extract", "digits-mlp", "--codec", "exact", "-o", tmp_path / "seed")
    named = seeds("score", "digits-mlp", "--task", "digits")
    assert named[0] == 0
    assert seeds("score", "digits-mlp") == named
    assert figures(seeds("score", tmp_path / "seed", "--into", "digits-mlp")[1]) == figures(named[1])
    assert "default: the subject's own" in " ".join(seeds("score", "--help")[1].split())


def test_other_models_are_scored_on_a_named_task_only(seeds, seed_file, classifier):
    for arguments in ([classifier], [seed_file, "--into", classifier], ["digits-mlp", "--into", classifier]):
        status, out, err = seeds("score", *arguments)
        assert (status, out) == (2, "")
        assert err.endswith(f"error: {classifier} is no subject, so name a --task: one of `list`, or a .jsonl file\n")
        assert "docs-topic" not in err


def test_published_subjects_have_no_other_codec_and_no_score(seeds, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))  # whatever lies in the real one
    assert "allowed: moments" in refusal(seeds("extract", "gpt2", "--codec", "exact", "-o", tmp_path / "seed"))
    assert "only its moments" in refusal(seeds("score", "gpt2", "--task", "random-ids"))
    assert "only its moments" in refusal(seeds("score", "gpt2"))


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
        ("imdb", "vocabulary of 30522; "),
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
