"""Llama and its small relatives (TinyLlama): any text model of this network, and no other."""

from __future__ import annotations

from paceline.models.families.causal_lm import CausalLM


class Llama(CausalLM):
    """``LlamaForCausalLM``; weights of another network are refused."""

    model_types = ("llama",)


FAMILY = Llama
