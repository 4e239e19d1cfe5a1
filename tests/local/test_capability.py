"""What a model can do is read off its config.json."""

from __future__ import annotations

import pytest

from hfclient.local.capability import Capability, capability


def of(architecture: str, **more: object) -> dict[str, object]:
    return {"architectures": [architecture], **more}


@pytest.mark.parametrize(
    ("config", "able"),
    [
        (of("Qwen3ForCausalLM"), "text"),
        (of("GPT2LMHeadModel"), "text"),
        (of("GPTNeoXForCausalLM"), "text"),
        ({"model_type": "llama", "vocab_size": 8}, "text"),
        (of("LlavaForConditionalGeneration", vision_config={"a": 1}, text_config={}), "vision-language"),
        (of("Gemma3ForConditionalGeneration", vision_config={"a": 1}), "vision-language"),
        (of("Phi3VForCausalLM", vision_config={"a": 1}), "vision-language"),
        ({"model_type": "qwen2_vl", "vision_config": {"a": 1}}, "vision-language"),
        (of("Qwen2_5OmniModel", thinker_config={"a": 1}), "vision-language"),
        (of("Qwen2AudioForConditionalGeneration", audio_config={"a": 1}), "audio-language"),
        (of("CLIPModel", vision_config={"a": 1}, text_config={"a": 1}), "image"),
        (of("ClapModel", audio_config={"a": 1}), "speech"),
        (of("T5ForConditionalGeneration", is_encoder_decoder=True), "text-to-text"),
        (of("MT5ForConditionalGeneration"), "text-to-text"),
        (of("MarianMTModel", is_encoder_decoder=True), "text-to-text"),
        (of("WhisperForConditionalGeneration", is_encoder_decoder=True, num_mel_bins=80), "speech"),
        (of("VisionEncoderDecoderModel", is_encoder_decoder=True, encoder={"image_size": 384}), "image"),
        (of("BertModel"), "embeddings"),
        (of("XLMRobertaModel"), "embeddings"),
        (of("BertForMaskedLM"), "embeddings"),
        (of("BertForSequenceClassification"), "classification"),
        (of("RobertaForQuestionAnswering"), "classification"),
        (of("Wav2Vec2ForCTC", conv_dim=[1]), "speech"),
        (of("Wav2Vec2Model", conv_dim=[1]), "speech"),
        (of("ViTForImageClassification", image_size=224), "image"),
        (of("DPTForDepthEstimation", num_channels=3), "image"),
        (of("Whatever"), "unknown"),
        ({}, "unknown"),
        ({"architectures": []}, "unknown"),
        ({"architectures": None}, "unknown"),
    ],
)
def test_capability(config: dict[str, object], able: Capability) -> None:
    """The architecture and the parts of a model say what it is for; its name is never asked."""
    assert capability(config) == able
