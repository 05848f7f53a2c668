"""The command line: every command on tiny models of the user's own, and one line of error for whatever is wrong."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.folders import read, refusal


def test_the_module_runs_and_lists_without_transformers():
    command = [sys.executable, "-X", "importtime", "-m", "seeds", "list"]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "digits-mlp" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert imported & {"seeds.cli", "transformers"} == {"seeds.cli"}


def test_the_version_is_that_of_the_installed_package(seeds):
    assert seeds("--version") == (0, f"seeds {version('seeds')}\n", "")


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
    assert f"{size:,} bytes; the weights have {weights:,}, {weights / size:.3g} times that" in out
    assert "captured energy: 0." in out


def test_extract_writes_a_large_ratio_without_an_exponent(seeds, tmp_path):
    out = seeds("extract", "gpt2", "--codec", "moments", "-o", tmp_path / "seed")[1]
    assert re.search(r", \d\d,\d{3} times that$", out, re.MULTILINE), out


@pytest.mark.parametrize("what", ["file", "index", "subject", "published"])
def test_extract_takes_files_indices_and_subjects(seeds, what, classifier, language_model, tmp_path):
    from seeds.store import load

    source = {"file": classifier / "model.safetensors", "subject": "digits-cnn", "published": "gpt2"}.get(what)
    if what == "index":
        source = tmp_path / "model.safetensors.index.json"
        shutil.copy(language_model / "model.safetensors", tmp_path / "shard.safetensors")
        source.write_text(
            json.dumps({"weight_map": dict.fromkeys(read(source.parent / "shard.safetensors"), "shard.safetensors")})
        )
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


@pytest.mark.parametrize(
    ("codec", "says"),
    [
        ("zip", "unknown codec 'zip'"),
        ("pca:99", "rank 99 is out of range: 1 to 16"),
        ("pca:0", "out of range"),
        ("pca", "codec 'pca' needs the form pca:K or pca:K+noise with K >= 1"),
    ],
    ids=["unknown", "rank-too-large", "rank-zero", "no-rank"],
)
def test_a_bad_codec_is_refused(seeds, classifier, tmp_path, codec, says):
    assert says in refusal(seeds("extract", classifier, "--codec", codec, "-o", tmp_path / "seed"))
    assert not (tmp_path / "seed").exists()


def test_what_exists_or_is_being_read_is_not_overwritten(seeds, seed_file, classifier, tmp_path):
    before = seed_file.read_bytes()
    assert "--force overwrites" in refusal(seeds("extract", classifier, "--codec", "moments", "-o", seed_file))
    assert "--force overwrites" in refusal(seeds("assemble", seed_file, "-o", classifier / "model.safetensors"))
    assert "this command reads" in refusal(seeds("assemble", seed_file, "-o", seed_file, "--force"))
    assert "this command reads" in refusal(seeds("assemble", seed_file, "-o", classifier, "--like", classifier, "--force"))
    assert seed_file.read_bytes() == before
    assert seeds("extract", classifier, "--codec", "moments", "-o", seed_file, "--force")[0] == 0
    assert len(seed_file.read_bytes()) < len(before)


@pytest.mark.parametrize(
    ("source", "names"),
    [("nope", "digits-mlp, digits-cnn, docs-bert, "), ("docs-brt", "docs-bert, "), ("gpt-2", "gpt2, ")],
)
def test_a_source_that_is_nothing_is_told_the_subjects_nearest_first(seeds, tmp_path, monkeypatch, source, names):
    from seeds.subject import SUBJECTS

    monkeypatch.chdir(tmp_path)
    said = refusal(seeds("extract", source, "--codec", "moments", "-o", "seed"))
    before, _, told = said.partition(f"no such file or folder: {source}; nor is it a subject: ")
    assert (before, told[: len(names)]) == ("error: ", names)
    assert sorted(told.strip().split(", ")) == sorted(SUBJECTS)


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
def test_a_whole_seed_file_with_wrong_parts_is_refused(seeds, tmp_path, parts):
    import torch

    from seeds import store
    from seeds.seed import Entry, Seed

    entry = Entry("weight", (3, 3), "float32", "exact", {name: torch.zeros(count) for name, count in parts.items()})
    store.save(Seed("exact", (entry,)), tmp_path / "seed")
    assert "do not make exact (3, 3)" in refusal(seeds("assemble", tmp_path / "seed", "-o", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_seed_of_other_shapes_is_refused(seeds, seed_file, classifier, language_model, rows, tmp_path):
    wide = tmp_path / "wide"
    shutil.copytree(classifier, wide)
    (wide / "config.json").write_text((wide / "config.json").read_text().replace('"vocab_size": 32', '"vocab_size": 33'))
    for said in (
        refusal(seeds("score", seed_file, "--into", wide, "--task", rows)),
        refusal(seeds("assemble", seed_file, "-o", tmp_path / "copy", "--like", wide)),
    ):
        assert "other shapes: bert.embeddings.word_embeddings.weight" in said
        if not version("transformers").startswith("4."):  # which tells no shapes
            assert "(32, 16) in the weights, (33, 16) in the model" in said
    assert "not in the model: bert" in refusal(seeds("score", seed_file, "--into", language_model, "--task", rows))
    assert "does not fit" in refusal(seeds("score", seed_file, "--into", "digits-mlp", "--task", "digits"))
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["melt"],
        ["extract", "digits-mlp", "-o", "seed"],
        ["assemble", "seed", "-o", "folder/"],
        ["assemble", "seed", "-o", "weights.safetensors", "--like", "folder"],
        ["assemble", "seed", "-o", "weights", "--rng-seed", "one"],
        ["score", "folder"],
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


def test_nobody_is_told_to_install_a_strangers_package():
    """The project is on no index, so whatever is called `seeds` there is another's."""
    root = Path(__file__).parent.parent
    texts = [root / "README.md", *root.glob("docs/*.md"), *root.glob("seeds/**/*.py")]
    assert [path.name for path in texts if re.search(r"pip install (-\S+ )*['\"]?seeds\b", path.read_text())] == []


def test_an_rng_seed_out_of_range_is_refused(seeds, seed_file, tmp_path):
    assert "-1" in refusal(seeds("assemble", seed_file, "-o", tmp_path / "out", "--rng-seed", "-1"))
    assert [file.name for file in tmp_path.iterdir()] == ["exact.seed"]
