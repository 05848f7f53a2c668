"""gpt2: the real GPT-2 (124M parameters) as far as its published per-tensor mean and standard deviation tell.

No weights: the seed holds 148 pairs of figures, rounded to three decimals at the source.
"""

from torch import nn

from seeds.library import docs_gpt

SOURCE = (
    "mean and std of the 148 tensors of openai-community/gpt2, published (3 decimals, MIT) in shanjiang7/GraphNet "
    "@ a342d13f279535ba9b4c54882aff18ea4d3ba639, samples/transformers-auto-model/gpt2/weight_meta.py"
)
forward = docs_gpt.forward


def architecture() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False, activation_function=docs_gpt.GELU)
    return GPT2LMHeadModel(config)
