"""Random models of every encoder family whose layers a student can take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

# By model type, the state dict's prefix of the layers.
FAMILIES = {
    "bert": "bert.encoder.layer",
    "roberta": "roberta.encoder.layer",
    "xlm-roberta": "roberta.encoder.layer",
    "electra": "electra.encoder.layer",
    "mpnet": "mpnet.encoder.layer",
    "deberta-v2": "deberta.encoder.layer",
    "distilbert": "distilbert.transformer.layer",
}
# Options by family, beside those that all have; deberta-v2 as its published checkpoints are.
PECULIAR: dict[str, dict[str, Any]] = {
    "electra": {"embedding_size": 8},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "position_biased_input": False,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "conv_kernel_size": 3,
        "conv_act": "gelu",
        "max_relative_positions": -1,
    },
}


def write_family(folder: Path, family: str, classes: list[str] | None, layers: int = 4, **options: Any) -> Path:
    """A random model of a family; with classes a classifier, otherwise an encoder."""
    sizes: dict[str, Any] = {
        "vocab_size": 30,
        "hidden_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 40,
    }
    if family == "distilbert":
        sizes = {"vocab_size": 30, "dim": 16, "n_layers": layers, "n_heads": 2, "hidden_dim": 32}
    settings = {**sizes, "initializer_range": 0.5, **PECULIAR.get(family, {}), **options}
    config = AutoConfig.for_model(family, **settings)
    if classes is not None:
        config.id2label = dict(enumerate(classes))
        config.label2id = {name: index for index, name in enumerate(classes)}
    torch.manual_seed(1)
    kind = AutoModel if classes is None else AutoModelForSequenceClassification
    model = kind.from_config(config)
    for parameter in model.parameters():  # biases and norms, too, differ from layer to layer
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder
