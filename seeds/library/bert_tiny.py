"""bert-tiny: the real BERT-tiny (4.4M parameters) as far as its published per-tensor mean and std tell.

No weights, and no classification head: the published model has none. The head of the classifier is drawn by the
architecture's own default, so it cannot do any task; its figures show what that does to a measurement.
"""

from torch import nn

from seeds.library import docs_bert

SOURCE = (
    "mean and std of the 39 tensors of prajjwal1/bert-tiny, published (3 decimals, MIT) in shanjiang7/GraphNet "
    "@ 959ab81504fcad0eda9334c44387e5b7a0d97517, samples/transformers-auto-model/prajjwal1_bert-tiny/weight_meta.py"
)
forward = docs_bert.forward


def architecture() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512)  # two labels
    )
