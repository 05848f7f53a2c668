"""Codecs: the rules that turn one tensor into parts of a seed and those parts back into a tensor.

    subject -> [extract] -> Seed -> store -> [assemble] -> evaluate -> verdict

A spec names the rule for a model: `NAME[:ARGUMENT][+noise][+vectors]`. Between every value and two numbers for a model,
the rules below are a ladder of what a description of weights may hold:

    exact             every value
    zstd              every value, compressed without loss (needs the package zstandard)
    float16           every value in half precision
    int8, int4        every value of a matrix in 8 or 4 bits, and a scale for each row; 1-D tensors exactly
    moments           mean and std of each tensor; assembly draws normal values
    moments:global    one mean and std for the whole model
    pca:K             row mean, K components and scores of each matrix (kernels as out x the rest), decoded
    pca:K+noise       the same, plus normal values with the spread of the residual
    permuted          every value of a tensor, but in random order: its scale and histogram without its places
    signs             the sign of each value of a matrix and the norm of each row
    spectrum          the singular values of each matrix; assembly draws its bases
    covariance        row mean, covariance of rows and of columns of each matrix; assembly draws a matrix-normal
    ...+vectors       1-D tensors (biases, norm gains) are kept exactly; without it pca, signs, spectrum and covariance
                      draw them from their moments, as in the report, and zstd, float16, moments and permuted make of
                      them what they make of matrices

Integer and bool tensors are always kept exactly. A new codec is a subclass of `Codec` with `encode` and `decode`,
made known by `register`; a model-wide one also overrides `share`.
"""

from seeds.codecs.codec import REGISTRY, Codec, register
from seeds.codecs.factors import CovarianceCodec, PcaCodec, SpectrumCodec
from seeds.codecs.lossless import ZstdCodec
from seeds.codecs.moments import MOMENTS, MomentsCodec, moments_parts
from seeds.codecs.quantized import Float16Codec, Int4Codec, Int8Codec
from seeds.codecs.spec import Spec, decode, parse
from seeds.codecs.values import EXACT, Exact, PermutedCodec, SignsCodec

__all__ = [
    "EXACT",
    "MOMENTS",
    "REGISTRY",
    "Codec",
    "CovarianceCodec",
    "Exact",
    "Float16Codec",
    "Int4Codec",
    "Int8Codec",
    "MomentsCodec",
    "PcaCodec",
    "PermutedCodec",
    "SignsCodec",
    "Spec",
    "SpectrumCodec",
    "ZstdCodec",
    "decode",
    "moments_parts",
    "parse",
    "register",
]

_LADDER = (
    Exact,
    ZstdCodec,
    Float16Codec,
    Int8Codec,
    Int4Codec,
    MomentsCodec,
    PcaCodec,
    PermutedCodec,
    SignsCodec,
    SpectrumCodec,
    CovarianceCodec,
)
for _codec in _LADDER:
    register(_codec)
