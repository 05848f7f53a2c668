"""Seeds and weights made by hand, real ones of the library, and the SHA-256 of all that must never change about them.

    weights -> extract -> Seed -> store -> assemble -> weights

`python -m tests.fingerprints` prints what this machine finds; `tests/golden.json` has what every machine must find. Another
value there means that seed files which exist would give other weights: that needs a new format, not a new value. Knows no test.
"""

import hashlib
import json
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from seeds import layout, store
from seeds.assemble import assemble
from seeds.codecs import moments_parts
from seeds.extract import extract
from seeds.moments import Moments
from seeds.seed import Entry, Parts, Seed
from seeds.subject import subject

RNG_SEED = 7
FRAME = (  # thirds of the grid in `small_seeds` as planes, compressed by zstandard 0.25
    "28b52ffd243cf0000020150b00ebd5c0ab9580552b00ab2b002bab002b558095abc0d5eb"
    "000b15b4000070bfbfbfbfbebdbd003d3d3e3f3f3f020080140268010100007f71a9a8"
)
SAME_FILES = ("exact", "float16", "int8", "int4", "moments", "moments:global", "permuted")  # see `seeds.extract`
NEARLY_SAME_FILES = ("moments", "pca:4", "signs", "spectrum", "covariance")  # to rounding, see there
EMBEDDED = ("moments", "moments+vectors", "permuted", "int8")  # codecs for the weights that this package ships


def fingerprints() -> dict[str, dict[str, str]]:
    """SHA-256 by group and name: of weights assembled from small and from large seeds, of seed files, of whole subjects."""
    return {
        "small": {codec: of_state(assemble(seed, RNG_SEED)) for codec, seed in small_seeds().items()},
        "large": {name: of_state({name: weight}) for name, weight in assemble(large_seed(), RNG_SEED).items()},
        "files": {codec: of_file(extract(weights_by_hand(), codec)) for codec in SAME_FILES},
        "embedded": {name: of_state(state()) for name, state in embedded().items()},
    }


def of_state(state: Mapping[str, Tensor]) -> str:
    """Over names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode() + layout.content(tensor))
    return digest.hexdigest()


def of_file(seed: Seed) -> str:
    return hashlib.sha256(store.to_bytes(seed)).hexdigest()


def small_seeds() -> dict[str, Seed]:
    """Parts are literals, so that no eigensolver has a say in the bits of their weights. All float dtypes, kernels, vectors."""
    grid = torch.arange(-15.0, 15.0) / 8
    pca = {"mean": grid[:5] / 3, "components": grid[:10].reshape(2, 5) / 4, "scores": grid[10:22].reshape(6, 2)}
    noisy = pca | {"residual_std": torch.tensor(0.05)}
    vector = Entry("norm.bias", (7,), "bfloat16", "moments", moments_parts(Moments(-0.3, 0.7, 7)))
    matrix = Entry("body.weight", (33, 17), "float32", "moments", moments_parts(Moments(0.01, 0.02, 561)))
    kernel = Entry("conv.weight", (4, 3, 2, 2), "float16", "moments", moments_parts(Moments(1.5, 0.25, 48)))
    buffer = Entry("positions", (3,), "int64", "exact", {"values": torch.tensor([2, 0, 1])})
    levels, thirds = (grid * 8).to(torch.int8), grid[20:26] / 3  # a product of both is rounded
    pairs = levels[15:].view(torch.uint8) * 17
    planes = torch.tensor(list(bytes.fromhex(FRAME)), dtype=torch.uint8)
    signs = {"signs": torch.arange(4, dtype=torch.uint8) * 37, "norms": thirds}
    covariance = {"mean": grid[:5], "rows": grid.reshape(6, 5), "columns": grid[:25].reshape(5, 5) / 3}
    shared = tuple(Entry(e.name, e.shape, e.dtype, "moments", {}) for e in (matrix, kernel, vector))

    def body(dtype: str, method: str, parts: Parts) -> Entry:
        return Entry("body.weight", (6, 5), dtype, method, parts, 0.5 if method == "pca" else None)

    return {
        "exact": Seed("exact", (body("float32", "exact", {"values": grid / 3}), buffer)),
        "moments": Seed("moments", (matrix, kernel, vector, buffer)),
        "moments:global": Seed("moments:global", shared, shared=moments_parts(Moments(0.125, 3.0, 616))),
        "pca:2": Seed("pca:2", (body("float32", "pca", pca), vector)),
        "pca:2+noise": Seed("pca:2+noise", (body("float32", "pca", noisy), vector)),
        "permuted": Seed("permuted", (body("float32", "permuted", {"sorted": grid}), vector)),
        "int8": Seed("int8", (body("float32", "int8", {"levels": (levels * 8).reshape(6, 5), "scales": thirds}),)),
        "int4": Seed("int4", (Entry("conv.weight", (6, 5, 1), "float16", "int4", {"levels": pairs, "scales": thirds}),)),
        "float16": Seed("float16", (body("float64", "float16", {"halves": (grid / 3).half()}),)),
        "zstd": Seed("zstd", (body("bfloat16", "zstd", {"planes:bfloat16": planes}),)),
        "signs": Seed("signs", (body("float32", "signs", signs), vector)),
        "spectrum": Seed("spectrum", (body("float32", "spectrum", {"singular_values": grid[25:] / 3}), vector)),
        "covariance": Seed("covariance", (body("float32", "covariance", covariance), vector)),
    }


def large_seed() -> Seed:
    """One tensor of each rule that computes anything, of sizes that torch and the BLAS divide among threads."""
    units, features, rank = 600, 500, 40
    parts: dict[str, Parts] = {
        "moments": moments_parts(Moments(0.01, 0.02, units * features)),
        "pca": {
            "mean": ramp(features) / 3,
            "components": steps(rank, features) / 2**22,
            "scores": steps(units, rank) / 2**19,
            "residual_std": torch.tensor(0.05),
        },
        "permuted": {"sorted": ramp(units * features).sort().values / 7},
        "int8": {"levels": (ramp(units, features) % 255 - 127).to(torch.int8), "scales": ramp(units).abs() / 1024},
        "signs": {"signs": (ramp(units * features // 8) % 256).to(torch.uint8), "norms": ramp(units).abs() / 3},
        "spectrum": {"singular_values": torch.arange(120.0, 0.0, -1) / 7},
        "covariance": {"mean": ramp(180) / 9, "rows": ramp(260, 180) / 300, "columns": ramp(180, 180) / 700},
    }
    shapes = {"spectrum": (220, 4, 30), "covariance": (260, 180)}
    return Seed("exact", tuple(Entry(n, shapes.get(n, (units, features)), "float32", n, parts[n]) for n in sorted(parts)))


def ramp(*shape: int) -> Tensor:
    """Whole numbers from -504 to 504 that look random."""
    return (torch.arange(torch.Size(shape).numel()) * 7919 % 1009 - 504).float().reshape(shape)


def steps(*shape: int) -> Tensor:
    """Whole numbers of 23 bits that look random: a grid as extraction leaves it for ranks up to 128 (see `seeds.pca`)."""
    return (torch.arange(torch.Size(shape).numel()) * 2654435761 % 2**23 - 2**22).float().reshape(shape)


def weights_by_hand() -> dict[str, Tensor]:
    """A matrix, a kernel, a vector of another dtype, a tie and a buffer."""
    matrix = ramp(33, 17) / 317
    kernel, vector = (ramp(8, 3, 2, 2) / 129).half(), (ramp(19) / 41).double()
    return {"body": matrix, "kernel": kernel, "bias": vector, "head": matrix, "positions": torch.arange(5)}


def weights_to_sum() -> dict[str, Tensor]:
    """A matrix whose four leading directions stand well apart, made without rounding, and more values than float64 sums."""
    apart = sum(
        (torch.outer(ramp(300 + k)[k:], ramp(777 + k)[-200:]).double() * 4.0**-k for k in range(6)), torch.zeros(300, 200)
    )
    return {"apart": apart.float(), "many": ramp(90_000) / 1000 + 0.1}


def embedded() -> dict[str, Callable[[], dict[str, Tensor]]]:
    """Subjects that ship with the package, all the way from their files; gpt2's 124 million values take too long here."""
    made: dict[str, Callable[[], dict[str, Tensor]]] = {"bert-tiny": lambda: assemble(subject("bert-tiny").published_seed())}
    for name in ("digits-mlp", "digits-cnn"):
        path = subject(name).weights_path
        assert path is not None
        made |= {f"{name} {codec}": lambda path=path, codec=codec: assemble(extract(path, codec)) for codec in EMBEDDED}
    return made


if __name__ == "__main__":
    print(json.dumps(fingerprints(), indent=2))
