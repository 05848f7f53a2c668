"""What every benchmark tells of itself: size, speed, circumstances, and the goal that it has beside a peer.

    subject -> extract -> Seed -> store -> assemble -> evaluate -> verdict

`extra_info`, in the file of `--benchmark-json`, holds them. This module times nothing and knows no stage.
"""

import torch


def tell(benchmark, size_bytes: int, **notes) -> None:
    """Size, speed of the best round and circumstances of a timed benchmark, and what else there is to say."""
    best_s = benchmark.stats.stats.min
    about = {"bytes": size_bytes, "gb_per_s": size_bytes / best_s / 1e9, "threads": torch.get_num_threads(), "device": "cpu"}
    benchmark.extra_info.update(about | notes)


def aim(benchmark, against: str, at_most: float) -> None:
    """The goal: the best round takes at most so many times as long as that of the named peer. Reported, never asserted."""
    benchmark.extra_info.update(against=against, at_most=at_most)
