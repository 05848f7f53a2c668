"""Original weights by their hub ids: the pinned commit, .safetensors only, and a named refusal of what is not there.

The repositories are tiny and made here, in the layout of the local cache. The tests marked `hub` want the real ones.
"""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from seeds import hub
from seeds.errors import SubjectUnavailable
from seeds.hub import BERT_TINY, CONVERSIONS, GPT2, IMDB, PICKLE, REVISIONS, WEIGHTS, WIKITEXT
from seeds.measure import Measure
from seeds.subject import subject
from tests.repositories import MODELS, body, published, repository, same, tiny

OTHER = "0123456789abcdef0123456789abcdef01234567"  # a commit that is pinned nowhere
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("save", [published, lambda model, snapshot: model.save_pretrained(snapshot)], ids=["hub", "own"])
def test_the_weights_of_a_repository_are_its_body(name, save, folder, capfd):
    """By name and value, whatever heads and masks the file holds besides; and nothing is said about those."""
    model = tiny(name)
    save(model, repository(folder, MODELS[name], REVISIONS[MODELS[name]]))
    capfd.readouterr()

    found = hub.original_weights(MODELS[name])

    assert same(found, body(model).state_dict())
    assert all(weight.dtype == torch.float32 for weight in found.values())
    assert "UNEXPECTED" not in capfd.readouterr().err


@pytest.mark.parametrize("name", MODELS)
def test_half_precision_is_read_as_single(name, folder):
    model = tiny(name).half()
    model.save_pretrained(repository(folder, MODELS[name], REVISIONS[MODELS[name]]))  # pyright: ignore[reportCallIssue]
    found = hub.original_weights(MODELS[name])
    assert same(found, body(model).float().state_dict())
    assert all(weight.dtype == torch.float32 for weight in found.values())


@pytest.mark.parametrize("name", MODELS)
def test_offline_the_pinned_commit_wins_over_main(name, folder):
    hub_id = MODELS[name]
    pinned = published(tiny(name, 1), repository(folder, hub_id, REVISIONS[hub_id], main=False))
    published(tiny(name, 2), repository(folder, hub_id, OTHER))

    assert hub.revision(hub_id) == hub.revision(hub_id, WEIGHTS) == REVISIONS[hub_id]
    assert same(hub.original_weights(hub_id), pinned.state_dict())


@pytest.mark.parametrize("name", MODELS)
def test_offline_what_is_cached_as_main_is_read_if_the_pinned_commit_is_not(name, folder):
    """And told: the hash is the one of `main`. A commit that nothing points to is not read."""
    hub_id = MODELS[name]
    published(tiny(name, 1), repository(folder, hub_id, OTHER[::-1], main=False))
    assert hub.revision(hub_id) == "main"
    main = published(tiny(name, 2), repository(folder, hub_id, OTHER))

    assert hub.revision(hub_id) == hub.revision(hub_id, WEIGHTS) == OTHER
    assert same(hub.original_weights(hub_id), main.state_dict())


def test_the_commit_is_looked_up_by_the_file_that_is_asked_for(folder):
    """The pinned commit may be cached without its weights, when only a tokenizer was needed."""
    (repository(folder, GPT2, REVISIONS[GPT2], main=False) / "config.json").write_text("{}")
    main = published(tiny("gpt2"), repository(folder, GPT2, OTHER))
    assert (hub.revision(GPT2), hub.revision(GPT2, WEIGHTS)) == (REVISIONS[GPT2], OTHER)
    assert same(hub.original_weights(GPT2), main.state_dict())


def test_converted_weights_are_read_from_their_own_commit(folder):
    """Beside a pickle at the pinned commit, which is what the hub has of bert-tiny."""
    converted = published(tiny("bert-tiny", 1), repository(folder, BERT_TINY, CONVERSIONS[BERT_TINY], main=False))
    snapshot = repository(folder, BERT_TINY, REVISIONS[BERT_TINY])
    published(tiny("bert-tiny", 2), snapshot)
    (snapshot / WEIGHTS).rename(snapshot / PICKLE)
    assert hub.revision(BERT_TINY) == REVISIONS[BERT_TINY]
    assert hub.revision(BERT_TINY, WEIGHTS) == CONVERSIONS[BERT_TINY]
    assert same(hub.original_weights(BERT_TINY), converted.state_dict())


@pytest.mark.parametrize(("hub_id", "commit"), [(GPT2, REVISIONS[GPT2]), (BERT_TINY, CONVERSIONS[BERT_TINY])], ids=list(MODELS))
def test_with_the_network_weights_are_asked_for_by_the_pinned_commit(hub_id, commit, folder, monkeypatch):
    """Whatever the cache has as `main`; as .safetensors, and by a hash, for which transformers asks for no conversion."""
    asked = []
    (repository(folder, hub_id, OTHER) / WEIGHTS).touch()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(f"transformers.{hub.CLASSES[hub_id][0]}.from_pretrained", lambda *a, **k: asked.append((a, k)) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hub.original_weights(hub_id)
    ((places, options),) = asked
    assert places == (hub_id,)
    assert options["revision"] == commit
    assert options["use_safetensors"] is True
    assert options["local_files_only"] is False


@pytest.mark.parametrize("hub_id", MODELS.values(), ids=MODELS)
def test_with_the_network_a_tokenizer_is_asked_for_by_the_pinned_commit(hub_id, folder, monkeypatch):
    asked = []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(f"transformers.{hub.CLASSES[hub_id][1]}.from_pretrained", lambda *a, **k: asked.append((a, k)))
    hub._tokenizer(hub_id)
    ((places, options),) = asked
    assert (places, options["revision"], options["local_files_only"]) == ((hub_id,), REVISIONS[hub_id], False)


@pytest.mark.parametrize("hub_id", [WIKITEXT, IMDB])
def test_a_data_set_is_asked_for_by_the_pinned_commit_where_the_network_is_allowed(hub_id, folder, monkeypatch):
    """Offline the cache of prepared tables has no commits to ask for; the one of its tables is told."""
    asked = []
    table = SimpleNamespace(cache_files=[{"filename": f"/tables/0.0.0/{OTHER}/test.arrow"}])
    monkeypatch.setattr("datasets.load_dataset", lambda *a, **k: asked.append(k["revision"]) or table)
    hub._rows(hub_id, hub.CONFIGS[hub_id], "test")
    assert hub.revision(hub_id) == OTHER
    monkeypatch.delenv("HF_HUB_OFFLINE")
    hub._rows(hub_id, hub.CONFIGS[hub_id], "test")
    assert hub.revision(hub_id) == REVISIONS[hub_id]
    assert asked == [None, None, REVISIONS[hub_id]]


def test_the_pins_are_whole_hashes():
    commits = [*REVISIONS.values(), *CONVERSIONS.values()]
    assert len(set(commits)) == 5
    assert all(len(commit) == 40 and set(commit) <= set("0123456789abcdef") for commit in commits)


def test_a_tokenizer_needs_no_type_in_the_configuration(folder):
    """bert-tiny's has none: it has 285 bytes, and its repository no file of the tokenizer but the words."""
    snapshot = repository(folder, BERT_TINY, REVISIONS[BERT_TINY])
    (snapshot / "config.json").write_text(json.dumps({"vocab_size": len(WORDS), "hidden_size": 8, "num_attention_heads": 2}))
    (snapshot / "vocab.txt").write_text("\n".join(WORDS))
    assert hub._tokenizer(BERT_TINY)("A film!")["input_ids"] == [2, 5, 6, 1, 3]


# -- what is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("has", ["nothing", "configuration", "configuration of main"])
def test_weights_that_are_not_in_the_cache_are_named(name, has, folder):
    if has != "nothing":
        snapshot = repository(folder, MODELS[name], OTHER if "main" in has else REVISIONS[MODELS[name]])
        published(tiny(name), snapshot)
        (snapshot / WEIGHTS).unlink()
    with pytest.raises(SubjectUnavailable) as refused:
        hub.original_weights(MODELS[name])
    assert str(refused.value) == f"weights of {MODELS[name]} are not in the local cache; --hub allows the network"


@pytest.mark.parametrize("name", MODELS)
def test_an_original_that_is_not_in_the_cache_is_named(name, folder):
    missing = f"{MODELS[name]} are not in the local cache; --hub allows the network$"
    with pytest.raises(SubjectUnavailable, match=rf"weights of {name} are not part of this package; .*weights of {missing}"):
        subject(name).original()
    with pytest.raises(SubjectUnavailable, match=missing):
        Measure(folder.parent).seed(subject(name), "exact")
    assert not list(folder.parent.glob("*.seed"))


def test_a_subject_without_a_repository_says_that_its_weights_are_nowhere():
    with pytest.raises(SubjectUnavailable, match=r"bert-tiny are not part of this package; only its moments are$"):
        replace(subject("bert-tiny"), hub_id=None).original()


class Trap:
    """Leaves a mark where its pickle is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("commit", [REVISIONS[BERT_TINY], OTHER], ids=["pinned", "main"])
def test_a_pickle_is_named_and_never_opened(commit, folder, tmp_path):
    mark = tmp_path / "opened"
    snapshot = repository(folder, BERT_TINY, commit, main=commit == OTHER)
    published(tiny("bert-tiny"), snapshot)
    (snapshot / WEIGHTS).unlink()
    (snapshot / PICKLE).write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(SubjectUnavailable, match=rf"weights of {BERT_TINY} are .* as a pickle only \({PICKLE}\).*{WEIGHTS} is"):
        hub.original_weights(BERT_TINY)
    assert not mark.exists()

    expected = published(tiny("bert-tiny"), snapshot)  # beside it, what is read
    assert same(hub.original_weights(BERT_TINY), expected.state_dict())
    assert not mark.exists()
    pickle.loads((snapshot / PICKLE).read_bytes())  # noqa: S301
    assert mark.exists(), "the trap does not work"


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def without_a_tensor(file: Path) -> None:
    weights = load_file(file)
    save_file({name: w for name, w in weights.items() if not name.endswith("wpe.weight")}, file, {"format": "pt"})


def of_another_shape(file: Path) -> None:
    weights = load_file(file)
    save_file(weights | {"wpe.weight": torch.zeros(17, 8)}, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, f"cannot be read from {WEIGHTS} of commit {REVISIONS[GPT2]}"),
        (emptied, f"cannot be read from {WEIGHTS} of commit {REVISIONS[GPT2]}"),
        (of_another_shape, f"cannot be read from {WEIGHTS} of commit {REVISIONS[GPT2]}"),
        (without_a_tensor, r"lack tensors: wpe\.weight \(1\)"),
    ],
    ids=["cut", "emptied", "of-another-shape", "without-a-tensor"],
)
def test_a_damaged_file_is_named(damage, told, folder):
    """transformers would fill in a missing tensor at random, and go on."""
    snapshot = repository(folder, GPT2, REVISIONS[GPT2])
    published(tiny("gpt2"), snapshot)
    damage(snapshot / WEIGHTS)
    with pytest.raises(SubjectUnavailable, match=rf"weights of {GPT2} {told}"):
        hub.original_weights(GPT2)


def test_weights_of_another_architecture_are_named(folder):
    published(tiny("bert-tiny"), repository(folder, BERT_TINY, REVISIONS[BERT_TINY]))
    with pytest.raises(SubjectUnavailable, match=rf"^weights of {BERT_TINY} do not fit bert-tiny: .*size mismatch") as refused:
        subject("bert-tiny").original()
    assert "\n" not in str(refused.value)
