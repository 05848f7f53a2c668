"""digits-cnn-04: the handwritten digits 0 to 4 by the convolutional network of digits-cnn; 5 to 9 are left for transfer."""

from torch import nn

from seeds.data import digits_of
from seeds.library import digits_cnn, digits_recipe

forward = digits_recipe.forward


def architecture() -> nn.Module:
    return digits_cnn.architecture(classes=5)


def train(rng_seed: int = 0) -> nn.Module:
    """About half a minute on one core."""
    return digits_recipe.train(architecture, digits_of(0, 4)["train"], digits_cnn.STEPS, digits_cnn.RATE, rng_seed)
