"""What the tiny twins share: a tokenizer made from nothing, the same on every machine.

A twin has the real classes of its family and random weights, so that every code path runs on a laptop and in
CI. Its tokenizer reads one printable ASCII character per token, save for the words below: prompts are mostly
those, and a prompt of 60 tokens trains several times faster than one of 300 characters.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import PreTrainedTokenizerFast

# Words of the shipped prompts and of English at large. Token ids follow this order and a twin's weights follow the
# ids: a word more or less makes other twins.
WORDS = """
an and are as at be been best by can do does each else even exact final first for from give given has have how if in
is it its just like list look made make may more most must name no not of on one only or other out over per please
same say see so than that the their them then there these they thing this those to two up use using very was what
when where which who whole why will with work would you your user assistant system image images photo photos picture
photograph taken shown show shows scene place places located location city cities town region regions country
countries continent world earth map street state states area latitude longitude coordinates coordinate decimal
degrees degree pair number numbers format exactly nearest near north south east west answer answers question reply
output write step steps think consider confidence estimate approximate example broad narrow narrower next last line
end start clues clue climate vegetation plants buildings architecture roads signs language plates driving side soil
sky sea land coast desert forest mountain mountains water ice snow river island satellite above seen view visible
describe caption main colours color colour sport sports object objects count many class classes short sentence word
words text document paper summary guess certain sure fall back falling within between around second third know known
tell find determine identify lat lon addresses alphabet accents arched beside birches blue bollards centre coastline
codes common conifers down dry eastern endings eucalyptus everywhere far feet fences form four ground half help high
holds inside iron keep large lattice left light lines long lush material names narrowing nearly ones pale palms park
part percent point poles red relief right rivers roofs shape shops small smaller some southern stands strip such sun
tells three tower until vineyards walls way web white windows without writing yellow yourself Where What Which
Answer Give Look Think Reply Question Describe Name In The This Only Use Africa Americas Asia Australia British
Climate Close Decide Driving Eiffel Europe Example Find France From Indonesia Isles Japan New Now Paris Plates Roads
South Telephone Thailand Then These Tower Vegetation Work Writing You Your Zealand After Always Buildings If It
""".split()  # noqa: SIM905  (quotes would hide the words)
# Of those, the ones that also open a line, a bracket or a turn, where no space stands before them.
OPENING = """
user assistant system lat lon latitude longitude country region city yes no Where What Which Answer Give Look Think
Reply Question Describe Name In The This Only Use Africa Americas Asia Australia British Climate Close Decide
Driving Eiffel Europe Example Find France From Indonesia Isles Japan New Now Paris Plates Roads South Telephone
Thailand Then These Tower Vegetation Work Writing You Your Zealand After Always Buildings If It
""".split()  # noqa: SIM905  (likewise)

UNKNOWN = "<unk>"


def begins_itself(tokenizer: PreTrainedTokenizerFast) -> None:
    """Let a twin's tokenizer write its beginning token before every text, as those of Llama and Phi do."""
    framed(tokenizer, f"{tokenizer.bos_token} $A")


def name_tokens(tokenizer: PreTrainedTokenizerFast, **named: str) -> None:
    """Give tokens of a twin's tokenizer the names under which a processor looks them up; they are saved with it."""
    tokenizer._set_model_specific_special_tokens(dict(named))


def settle(layers: Iterable[nn.Module]) -> None:
    """Let the layers of a new SigLIP tower add little to its patches, as those of a trained one do.

    Its class draws weights so large that every state is of the whole image, and none of its own place.
    """
    with torch.no_grad():
        for layer in layers:
            for name, parameter in layer.named_parameters():
                if name.startswith(("self_attn.out_proj.", "mlp.fc2.")):
                    parameter.mul_(0.1)


def text_settings(config: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast, **own: Any) -> dict[str, Any]:
    """Settings of a twin's language model: those of its file, the vocabulary of its tokenizer, and the family's own."""
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return {**config["text_config"], "vocab_size": len(tokenizer), **ids, **own}


def twin_tokenizer(
    special: Sequence[str], *, pad: str, eos: str, bos: str | None, chat_template: str, **named: str
) -> PreTrainedTokenizerFast:
    """A tokenizer of single characters and a few hundred words, which decodes what it encodes.

    Args:
        special: tokens of the family that are never split, such as the image placeholder.
        pad: the padding token, one of ``special``; ``eos`` and ``bos`` likewise.
        eos: the token that ends an answer.
        bos: the token that begins a text, or None.
        chat_template: Jinja template of the family's turns.
        named: tokens that the family's processor asks the tokenizer for by a name, such as ``image_token``.
    """
    characters = [*string.digits, *string.ascii_letters, *string.punctuation, *" \n\t\r"]
    # A word carries its leading space, as in byte-level vocabularies.
    words = [*(f" {word}" for word in WORDS), *OPENING]
    vocabulary = {token: i for i, token in enumerate([UNKNOWN, *special, *characters, *words])}
    # With no merges, BPE spells a piece by its characters unless the whole piece is in the vocabulary.
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[], unk_token=UNKNOWN, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        pad_token=pad,
        eos_token=eos,
        bos_token=bos,
        additional_special_tokens=[t for t in special if t not in (pad, eos, bos)],
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
        **named,
    )
    made.chat_template = chat_template
    return made


def bert_twin_tokenizer() -> PreTrainedTokenizerFast:
    """A twin's tokenizer with BERT's special tokens, which writes a text between ``[CLS]`` and ``[SEP]``."""
    special = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer = twin_tokenizer(special, pad="[PAD]", eos="[SEP]", bos=None, chat_template="")
    tokenizer.chat_template = None
    tokenizer.sep_token, tokenizer.cls_token, tokenizer.mask_token = "[SEP]", "[CLS]", "[MASK]"
    framed(tokenizer, "[CLS] $A [SEP]")
    return tokenizer


def framed(tokenizer: PreTrainedTokenizerFast, single: str) -> None:
    """Let a twin's tokenizer write special tokens around every text: ``single`` is such as ``[CLS] $A [SEP]``."""
    marks = [word for word in single.split() if not word.startswith("$")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=single, special_tokens=[(mark, tokenizer.convert_tokens_to_ids(mark)) for mark in marks]
    )
