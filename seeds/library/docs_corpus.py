"""Recipe of what the two documentation subjects share: the tokenizer, and trigrams and token counts of the training text."""

from pathlib import Path

import numpy as np
import safetensors.numpy

from seeds.data import TOKENIZER, TRAINING_SHINGLES, docs_training_texts
from seeds.duplicates import Shingles
from seeds.file import write_whole

VOCABULARY = 2048
SPECIAL = ["<pad>", "<start>", "<mask>"]


def train(tokenizer_path: Path = TOKENIZER, shingles_path: Path = TRAINING_SHINGLES) -> None:
    """Fits the tokenizer and fills the filter from the training paragraphs alone; about half a minute."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    texts = docs_training_texts()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)  # pyright: ignore[reportCallIssue]
    tokenizer.train_from_iterator((t for of_one in texts for t in of_one), trainer)
    tokenizer.save(str(tokenizer_path), pretty=False)

    seen = Shingles()
    counts = np.zeros(VOCABULARY, dtype=np.int32)
    for of_one in texts:
        for text, encoding in zip(of_one, tokenizer.encode_batch(of_one), strict=True):
            seen.add(text)
            counts += np.bincount(encoding.ids, minlength=VOCABULARY).astype(np.int32)
    raw = safetensors.numpy.save({"bits": np.packbits(seen.bits), "unigram": counts})
    write_whole(shingles_path, raw)
