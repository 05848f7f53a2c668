"""Subjects: trained networks that claims are checked on, with their architecture, weights and task.

    [subject] -> extract -> Seed -> store -> assemble -> evaluate -> verdict

Each subject is built by a module of `seeds.library` with `architecture()` and `forward(model, inputs, mask)`. A verdict
speaks of this one trained network, not of its family; where that is not enough, originals of one recipe that were trained
independently are subjects of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from seeds import hub, store
from seeds.assemble import assemble
from seeds.errors import SubjectUnavailable
from seeds.evaluate import Evaluation, Forward, evaluate_classifier, evaluate_language_model
from seeds.library import card
from seeds.library.training import rng
from seeds.seed import Seed
from seeds.task import Task, task

LIBRARY = Path(__file__).parent / "library"


@dataclass(frozen=True, slots=True)
class Subject:
    """A network of the embedded library.

    Args:
        name: "digits-mlp" for example; its module is `seeds.library.digits_mlp`, and its files are called so.
        task_name: the task that the original was trained for.
        probe_name: the classification task that its features are probed on, if that is another.
        probe_labels: labels per class that a probe may use, at most 20; so few that the original is clearly ahead of fresh.
        body: the submodule that published moments describe; None where all weights are at hand.
        published_nats: published cross-entropy of the original on its task, where its weights are not at hand.
        recipe: the module of `seeds.library`, "digits_mlp" for example, where it is not the name's own.
        transfer_name: the task that a new head on this body is fine-tuned for; None where there is none.
        finetune_name: the task for fine-tuning on what the original was trained for, if not `task_name`.
        rng_seed: that the original was trained with.
        vectorised: whether many copies of it run at once, by torch.func.
        hub_id: the repository that has the original's body where the package has not; read by `original` alone, so that
            claims stay those of the published moments.
    """

    name: str
    task_name: str
    probe_name: str | None = None
    probe_labels: int = 20
    body: str | None = None
    published_nats: float | None = None
    recipe: str | None = None
    transfer_name: str | None = None
    finetune_name: str | None = None
    rng_seed: int = 0
    vectorised: bool = False
    hub_id: str | None = None

    @property
    def stem(self) -> str:
        """What its files are called, without the ending."""
        return self.name.replace("-", "_")

    @property
    def module(self) -> ModuleType:
        return import_module(f"seeds.library.{self.recipe or self.stem}")

    @property
    def architecture(self) -> Callable[[], nn.Module]:
        return self.module.architecture

    @property
    def forward(self) -> Forward:
        return self.module.forward

    @property
    def task(self) -> Task:
        return task(self.task_name)

    @property
    def probe_task(self) -> Task:
        return task(self.probe_name or self.task_name)

    @property
    def finetune_task(self) -> Task:
        """The task that it is fine-tuned for when that is what the original was trained for."""
        return task(self.finetune_name or self.task_name)

    @property
    def transfer_task(self) -> Task:
        """The task that a new head on its body is fine-tuned for.

        Raises:
            SubjectUnavailable: it has none.
        """
        if self.transfer_name is None:
            able = ", ".join(s.name for s in SUBJECTS.values() if s.transfer_name)
            raise SubjectUnavailable(f"{self.name} has no task to transfer to; subjects that have one: {able}")
        return task(self.transfer_name)

    @property
    def weights_path(self) -> Path | None:
        """The original's `.safetensors` file; None where only published moments exist."""
        return None if self.body else LIBRARY / f"{self.stem}.safetensors"

    @property
    def seed_path(self) -> Path | None:
        """The published moments as a seed file; None where the weights are at hand."""
        return LIBRARY / f"{self.stem}.seed.safetensors" if self.body else None

    @property
    def card(self) -> dict:
        """Recipe, versions, quality and size, as recorded when the weights were trained.

        Raises:
            StoreError: there is none, or it is of other weights, as a build that was killed leaves it.
        """
        return card.read(LIBRARY / f"{self.stem}{'.seed' if self.body else ''}.safetensors")

    def fresh(self, rng_seed: int) -> nn.Module:
        """The architecture with its own default random init."""
        with rng(rng_seed):
            return self.architecture().eval()

    def original(self) -> nn.Module:
        """The trained network.

        Where only moments are published here, its body comes from the hub or the local cache, and what the body lacks is
        fresh with rng_seed 0: bert-tiny's classifier, whereas gpt2's output layer is tied to its embedding.

        Raises:
            SubjectUnavailable: only its moments are published here, and the original's weights are not to be had.
        """
        if self.weights_path is None:
            return self._with_body(self.original_body())
        return self.loaded(self.weights_path)

    def loaded(self, path: Path) -> nn.Module:
        """The network with the weights of a `.safetensors` file, all of them."""
        from safetensors.torch import load_model

        with rng(0), _SkipInit():  # some initialisations draw all the same
            model = self.architecture().eval()
        load_model(model, path)
        return model

    def original_body(self) -> dict[str, torch.Tensor]:
        """The original's tensors by the names of the published moments.

        Raises:
            SubjectUnavailable: they are not to be had.
        """
        here = f"the weights of {self.name} are not part of this package; only its moments are"
        if self.hub_id is None:
            raise SubjectUnavailable(here)
        try:
            return hub.original_weights(self.hub_id)
        except SubjectUnavailable as missing:
            raise SubjectUnavailable(f"{here}; {missing}") from missing

    def _with_body(self, weights: dict[str, torch.Tensor]) -> nn.Module:
        model = self.fresh(0)
        try:
            getattr(model, self.body or "").load_state_dict(weights)
        except RuntimeError as error:
            told = " ".join(str(error).split())[:400]
            raise SubjectUnavailable(f"weights of {self.hub_id} do not fit {self.name}: {told}") from error
        return model

    def assembled(self, seed: Seed, rng_seed: int) -> nn.Module:
        """The network rebuilt from a seed; parts that published moments do not cover are fresh."""
        with rng(0), _SkipInit():
            model = self.architecture().eval()
        described = set((getattr(model, self.body) if self.body else model).parameters())
        if not described.issuperset(model.parameters()):
            model = self.fresh(rng_seed)
        assemble(seed, rng_seed, into=getattr(model, self.body) if self.body else model)
        return model

    def published_seed(self) -> Seed:
        if self.seed_path is None:
            raise SubjectUnavailable(f"{self.name} has no published moments; its seeds are extracted from its weights")
        return store.load(self.seed_path)


class _SkipInit(TorchFunctionMode):
    """Leaves new parameters as they lie in memory, for models whose every weight is written right after."""

    random = frozenset({torch.Tensor.normal_, torch.Tensor.uniform_})

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return args[0] if func in self.random else func(*args, **(kwargs or {}))


SUBJECTS = {
    s.name: s
    for s in (
        Subject("digits-mlp", "digits", probe_labels=5, vectorised=True),
        Subject("digits-cnn", "digits", probe_labels=5),
        Subject("docs-bert", "docs-topic", probe_name="docs-probe", finetune_name="docs-finetune"),
        Subject("docs-gpt", "docs-text", probe_name="docs-probe", transfer_name="docs-finetune"),
        # The same recipe with other random numbers, so that runs can be resampled over originals too.
        Subject("digits-mlp-1", "digits", probe_labels=5, recipe="digits_mlp", rng_seed=1, vectorised=True),
        Subject("digits-mlp-2", "digits", probe_labels=5, recipe="digits_mlp", rng_seed=2, vectorised=True),
        Subject("digits-mlp-3", "digits", probe_labels=5, recipe="digits_mlp", rng_seed=3, vectorised=True),
        Subject("digits-mlp-4", "digits", probe_labels=5, recipe="digits_mlp", rng_seed=4, vectorised=True),
        Subject("digits-mlp-04", "digits-0-4", probe_labels=5, transfer_name="digits-5-9", vectorised=True),
        Subject("digits-cnn-04", "digits-0-4", probe_labels=5, transfer_name="digits-5-9"),
        # ln 29.94: perplexity on WikiText-2's test text in windows of 1,024, as reported for the 124M model by the script of
        # transformers' "Perplexity of fixed-length models". In short windows, as here, the original would do worse, so
        # shares of what it knows come out smaller in size than they are.
        Subject("gpt2", "wikitext-2", body="transformer", published_nats=3.3992, hub_id=hub.GPT2),
        Subject("bert-tiny", "imdb", body="bert", hub_id=hub.BERT_TINY),
    )
}


def subject(name: str) -> Subject:
    """The subject of that name, or `SubjectUnavailable` with the choices."""
    if name not in SUBJECTS:
        raise SubjectUnavailable(f"unknown subject {name!r}; allowed: {', '.join(SUBJECTS)}")
    return SUBJECTS[name]


def evaluate(model: nn.Module, forward: Forward, on: Task) -> Evaluation:
    """The model's scores on the test split of a task, calibrated on its calibration split if it has one."""
    splits = on.splits()
    how = evaluate_classifier if on.kind == "classification" else evaluate_language_model
    return how(model, forward, splits["test"], splits.get("calibration"))


@cache
def one_thread() -> None:
    """Keeps torch on one thread: two on a busy machine wait for each other a hundred times longer than they work."""
    torch.set_num_threads(1)
