"""What architectures call by different names."""

from transformers import PretrainedConfig, PreTrainedModel

from lit_align.models.projection import LogitTransform


def attention_dropout(config: PretrainedConfig) -> float:
    """The probability under whichever name an architecture has for it (attention_dropout, attn_pdrop, ...)."""
    return max((float(p or 0) for name, p in vars(config).items() if "drop" in name and "att" in name), default=0.0)


def logit_transform(model: PreTrainedModel) -> LogitTransform:
    """What follows the projection on the vocabulary, under whichever names an architecture has for it."""
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None) or 1.0
    scale /= getattr(config, "logits_scaling", None) or 1.0
    return LogitTransform(scale=scale, softcap=getattr(config, "final_logit_softcapping", None))
