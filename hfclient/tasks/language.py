"""Texts: classified, searched, shortened, translated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator
from typing_extensions import Unpack

from hfclient.call import Options
from hfclient.tasks.arguments import Labels, Text, ask
from hfclient.types.items import Items
from hfclient.types.labels import Answer, Entity, FilledMask, Label, TableAnswer
from hfclient.types.text import Summary, Translation

if TYPE_CHECKING:
    from hfclient.client import Client

Transform: TypeAlias = Literal["sigmoid", "softmax", "none"]
Aggregation: TypeAlias = Literal["none", "simple", "first", "average", "max"]
Truncation: TypeAlias = Literal["do_not_truncate", "longest_first", "only_first", "only_second"]
Padding: TypeAlias = Literal["do_not_pad", "longest", "max_length"]


def _even(table: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
    lengths = {len(column) for column in table.values()}
    if any(isinstance(column, str) for column in table.values()):
        msg = "has a text where a column should be, which is a list"
    elif not any(lengths):
        msg = "is empty"
    elif len(lengths) > 1:
        msg = "has columns of different lengths"
    else:
        return table
    raise ValueError(msg)


Table: TypeAlias = Annotated[Mapping[str, Sequence[Any]], AfterValidator(_even)]


async def text_classification(
    client: Client,
    text: Text,
    *,
    model: str | None = None,
    top_k: int | None = None,
    function_to_apply: Transform | None = None,
    **options: Unpack[Options],
) -> Items[Label]:
    """Say which classes a text is of, the likeliest first.

    >>> labels = await client.text_classification("I like you.")
    >>> print(labels[0].label, labels[0].score)
    """
    return await ask(text_classification, locals())


async def zero_shot_classification(
    client: Client,
    text: Text,
    candidate_labels: Labels,
    *,
    model: str | None = None,
    multi_label: bool | None = None,
    hypothesis_template: str | None = None,
    **options: Unpack[Options],
) -> Items[Label]:
    """Say which of these classes a text is of; the model need not have been trained for them.

    >>> labels = await client.zero_shot_classification("Tomatoes are red.", ["food", "cars"])
    """
    return await ask(zero_shot_classification, locals())


async def token_classification(
    client: Client,
    text: Text,
    *,
    model: str | None = None,
    aggregation_strategy: Aggregation | None = None,
    ignore_labels: Sequence[str] | None = None,
    stride: int | None = None,
    **options: Unpack[Options],
) -> Items[Entity]:
    """Find names, places and the like in a text.

    >>> entities = await client.token_classification("Sarah lives in London.")
    >>> print([(entity.word, entity.label) for entity in entities])
    """
    return await ask(token_classification, locals())


async def fill_mask(
    client: Client,
    text: Text,
    *,
    model: str | None = None,
    targets: Sequence[str] | None = None,
    top_k: int | None = None,
    **options: Unpack[Options],
) -> Items[FilledMask]:
    """Find words for the mask in a text.

    >>> filled = await client.fill_mask("Paris is the <mask> of France.")
    """
    return await ask(fill_mask, locals())


async def question_answering(
    client: Client,
    question: Text,
    context: Text,
    *,
    model: str | None = None,
    align_to_words: bool | None = None,
    doc_stride: int | None = None,
    handle_impossible_answer: bool | None = None,
    max_answer_len: int | None = None,
    max_question_len: int | None = None,
    max_seq_len: int | None = None,
    top_k: int | None = None,
    **options: Unpack[Options],
) -> Items[Answer]:
    """Find the answer to a question in a text; with `top_k`, more than one.

    >>> answers = await client.question_answering("Where does she live?", "Sarah lives in London.")
    >>> print(answers[0].answer)
    """
    return await ask(question_answering, locals())


async def table_question_answering(
    client: Client,
    table: Table,
    query: Text,
    *,
    model: str | None = None,
    padding: Padding | None = None,
    sequential: bool | None = None,
    truncation: bool | None = None,
    **options: Unpack[Options],
) -> TableAnswer:
    """Find the answer to a question in a table, which is a mapping of columns.

    >>> table = {"Repository": ["Transformers", "Datasets"], "Stars": ["36542", "4512"]}
    >>> answer = await client.table_question_answering(table, "How many stars has Datasets?")
    """
    return await ask(table_question_answering, locals())


async def summarization(
    client: Client,
    text: Text,
    *,
    model: str | None = None,
    clean_up_tokenization_spaces: bool | None = None,
    generate_parameters: Mapping[str, Any] | None = None,
    truncation: Truncation | None = None,
    **options: Unpack[Options],
) -> Summary:
    """Say the same in fewer words.

    >>> summary = await client.summarization("The tower is 324 metres tall, about as tall as a building of 81 floors.")
    >>> print(summary.text)
    """
    return await ask(summarization, locals())


async def translation(
    client: Client,
    text: Text,
    *,
    model: str | None = None,
    src_lang: str | None = None,
    tgt_lang: str | None = None,
    clean_up_tokenization_spaces: bool | None = None,
    truncation: Truncation | None = None,
    generate_parameters: Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Translation:
    """Say the same in another language; models that know several want `src_lang` and `tgt_lang`.

    >>> translated = await client.translation("Good morning", src_lang="en_XX", tgt_lang="fr_XX")
    >>> print(translated.text)
    """
    return await ask(translation, locals())
