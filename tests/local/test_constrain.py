"""Constrained decoding: whatever a model's scores are, the text fits its schema, ends, and is cut by length alone."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from hfclient.errors import EngineError, InputError, MissingExtraError
from hfclient.local import constrain
from hfclient.local.constrain import Grammars, constraint_for
from hfclient.local.engine import Constraint, Sampling
from hfclient.local.sampling import Sampler

END, END_OF_TURN, THINK, DONE_THINKING = "<|end|>", "<|im_end|>", "<think>", "</think>"
WIDE = 512  # scores for more tokens than the tokenizer has
TEXT = ['{"name": "hello world", "lives": 9}', "hello, this is JSON, </reason> and\n\n    more of it"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A byte-level BPE of some 300 tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END, END_OF_TURN, THINK, DONE_THINKING],
        show_progress=False,
    )
    bpe.train_from_iterator(TEXT * 10, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END)


@pytest.fixture(scope="module")
def grammars(tokenizer: Any) -> Grammars:
    return Grammars(tokenizer, {0, 1})


@pytest.fixture(scope="module")
def leaning(tokenizer: Any) -> np.ndarray:
    """A liking for what closes a string, a list or an object, so that random texts end."""
    liked = np.zeros(WIDE, np.float32)
    liked[tokenizer.convert_tokens_to_ids(['"', "}", "]"])] = 4.0
    liked[tokenizer.convert_tokens_to_ids(["Ġ", "Ċ"])] = 3.0  # and blanks, which must not go on for ever
    return liked


class Walk:
    """A text written from random scores under a constraint."""

    def __init__(self, constraint: Constraint, leaning: np.ndarray, seed: int, length: int = 600) -> None:
        rng = np.random.default_rng(seed)
        sampler = Sampler(Sampling(temperature=0.0 if seed % 2 else 1.5, seed=seed), [])
        self.tokens: list[int] = []
        for _ in range(length):
            scores = rng.standard_normal(WIDE).astype(np.float32) * 2 + leaning
            token = sampler.choose(scores, constraint.allowed()).token
            constraint.accept(token)
            self.tokens.append(token)
            if token in {0, 1}:
                break

    @property
    def ended(self) -> bool:
        return self.tokens[-1] in {0, 1}

    def text(self, tokenizer: Any) -> str:
        assert max(self.tokens) < len(tokenizer)
        return tokenizer.decode(self.tokens[: -1 if self.ended else None], clean_up_tokenization_spaces=False)


def tokens_of(constraint: Constraint) -> set[int]:
    bits = np.unpackbits(np.asarray(constraint.allowed()).view(np.uint8), bitorder="little")
    return set(np.flatnonzero(bits).tolist())


def feed(constraint: Constraint, tokens: Sequence[int]) -> bool:
    """Whether this text can be written."""
    for token in tokens:
        if token not in tokens_of(constraint):
            return False
        constraint.accept(token)
    return True


class Colour(Enum):
    RED = "red"
    BLUE = "bl\u00fc"


class Cat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["cat"]
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["dog"]
    name: str = Field(max_length=10)


class Owner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=r"^[A-Z][a-z]{1,9}$")]
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    other: Cat | None
    colours: list[Colour] = Field(max_length=3)
    size: tuple[int, float]
    born: Annotated[str, Field(json_schema_extra={"format": "date"})]


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")
    value: bool
    branches: list[Tree] = Field(max_length=1)


SHAPES: dict[str, Any] = {
    "models": Owner, "recursive": Tree, "union": Cat | Dog, "list": list[Cat], "number": float, "optional": int | None,
    "enum": Colour, "string": str, "bounded": Annotated[float, Field(gt=0, lt=1)],
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_random_scores_give_what_pydantic_accepts(
    shape: Any, grammars: Grammars, tokenizer: Any, leaning: np.ndarray
) -> None:
    """Two hundred texts in all, half of them greedy, on scores wider than the vocabulary: each ends and validates."""
    adapter: TypeAdapter[Any] = TypeAdapter(shape)
    for seed in range(24):
        walk = Walk(grammars.for_json_schema(adapter.json_schema()), leaning, seed)
        assert walk.ended
        adapter.validate_json(walk.text(tokenizer))


def test_json_mode_gives_an_object(grammars: Grammars, tokenizer: Any, leaning: np.ndarray) -> None:
    """Any object, with anything in it, and neither text before nor after."""
    walks = [Walk(grammars.for_json(), leaning, seed) for seed in range(20)]
    ended = [walk for walk in walks if walk.ended]
    assert len(ended) > 10  # objects in objects may go on for long
    for walk in ended:
        assert isinstance(json.loads(walk.text(tokenizer)), dict)


def test_a_pattern_is_kept_to(grammars: Grammars, tokenizer: Any, leaning: np.ndarray) -> None:
    """From the first character to the last."""
    for seed in range(20):
        text = Walk(grammars.for_regex(r"(yes|no)( but \d{1,3})?"), leaning, seed).text(tokenizer)
        assert re.fullmatch(r"(yes|no)( but \d{1,3})?", text)


def test_what_is_complete_can_only_end(grammars: Grammars, tokenizer: Any) -> None:
    """Every stop token of the model is allowed then, and no other; before, none of them; after, nothing goes wrong."""
    constraint = grammars.for_regex("hello")
    assert not tokens_of(constraint) & {0, 1}
    assert feed(constraint, tokenizer.encode("hello"))
    assert tokens_of(constraint) == {0, 1}
    constraint.accept(1)
    assert tokens_of(constraint) <= {0, 1}


def test_blanks_come_to_an_end(grammars: Grammars, tokenizer: Any) -> None:
    """One space, or one line break with its indent, between two parts of JSON; none before and none after."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }

    def allowed(text: str) -> bool:
        pieces = [tokenizer.convert_tokens_to_ids(piece) for piece in "".join(
            part for part, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
        )]  # fmt: skip
        constraint = grammars.for_json_schema(schema)
        return feed(constraint, pieces) and 0 in tokens_of(constraint)

    assert all(allowed(text) for text in ('{"a":1}', '{"a": 1}', '{ "a" : 1 }', '{\n    "a": 1\n}'))
    assert not any(allowed(text) for text in ('{"a":  1}', '{\n\n"a": 1}', ' {"a": 1}', '{"a": 1}\n', '{"a":\t1}'))


def test_a_constraint_belongs_to_one_text(grammars: Grammars, tokenizer: Any) -> None:
    """Two of the same schema do not share how far they have come."""
    one, other = grammars.for_regex("ab"), grammars.for_regex("ab")
    feed(one, tokenizer.encode("a"))
    assert tokens_of(one) != tokens_of(other)


TOOLS = [
    {"type": "function", "function": {"name": "now"}},
    {
        "type": "function",
        "function": {
            "name": "paint",
            "parameters": {
                "type": "object",
                "properties": {"colour": {"$ref": "#/$defs/Colour"}, "coats": {"type": "integer", "maximum": 3}},
                "required": ["colour", "coats"],
                "additionalProperties": False,
                "$defs": {"Colour": {"enum": ["red", "blue"]}},
            },
        },
    },
]


def test_a_tool_call_has_its_name_and_its_arguments(grammars: Grammars, tokenizer: Any, leaning: np.ndarray) -> None:
    """One of the tools with arguments by its own schema, whose references lead within it; or the one that was named."""
    for seed in range(20):
        call = json.loads(Walk(grammars.for_tool_call(TOOLS, "paint"), leaning, seed).text(tokenizer))
        assert list(call) == ["name", "arguments"]
        assert call["name"] == "paint"
        assert call["arguments"]["colour"] in {"red", "blue"}
        assert call["arguments"]["coats"] <= 3
    either = [Walk(grammars.for_tool_call(TOOLS), leaning, seed).text(tokenizer) for seed in range(20)]
    assert {re.sub(r'.*?"name"\s*:\s*"(\w+)".*', r"\1", text, flags=re.DOTALL) for text in either} == {"now", "paint"}


@pytest.mark.parametrize(("tools", "name"), [(TOOLS, "dance"), ([], None)])
def test_a_tool_that_is_not_there_is_refused(grammars: Grammars, tools: list[Any], name: str | None) -> None:
    """The advice lists those that are."""
    with pytest.raises(InputError, match="no tool") as told:
        grammars.for_tool_call(tools, name)
    assert ("now, paint" if tools else "none") in told.value.advice


def test_the_tool_whose_parameters_cannot_be_used_is_named(grammars: Grammars) -> None:
    """Among many, one wants to know which."""
    wrong = {"function": {"name": "frob", "parameters": {"properties": {"a": {"type": "objekt"}}}}}
    with pytest.raises(InputError, match="objekt") as told:
        grammars.for_tool_call([*TOOLS, wrong])
    assert "#/properties/a of the tool frob" in str(told.value)


def deep(schema: Any) -> dict[str, Any]:
    """This schema as the items of a property of a definition."""
    inner = {"type": "object", "properties": {"b": {"type": "array", "items": schema}}, "required": ["b"]}
    return {"$defs": {"A": inner}, "type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}


def nested(depth: int) -> dict[str, Any]:
    """Lists in lists."""
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


PLACE = "#/$defs/A/properties/b/items"


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "objekt"}, "Invalid type: objekt"),
        ({"type": "string", "format": "frob"}, "Unknown format: frob"),
        ({"type": "string", "pattern": "(?=x)y"}, "look-around"),
        ({"type": "string", "pattern": "a(b"}, "unclosed group"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"not": {"type": "integer"}}, "held to not"),
        ({"if": {}, "then": {}}, "if, then"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"$ref": "#/$defs/Nowhere"}, "Nowhere"),
        ({"$ref": "https://example.com/schema"}, "example.com"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_schema_that_cannot_be_used_is_refused(grammars: Grammars, schema: Any, message: str) -> None:
    """With what is wrong with it, and where."""
    with pytest.raises(InputError, match=re.escape(message)) as told:
        grammars.for_json_schema(deep(schema))
    assert PLACE in str(told.value)
    assert told.value.advice
    with pytest.raises(InputError, match="at #"):
        grammars.for_json_schema(schema)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ([], "no JSON schema"),
        ("object", "no JSON schema"),
        (None, "no JSON schema"),
        ({"const": {1, 2}}, "cannot be read"),
        ({"const": float("nan")}, "cannot be read"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, "No JSON fits the schema"),
        (False, "no JSON schema"),
        ({"enum": []}, "Unsatisfiable"),
        ({"type": "object", "required": 5}, "required"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum"),
        ({"properties": [1]}, "properties"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_schema_is_refused(grammars: Grammars, schema: Any, message: str) -> None:
    """It never comes to a model."""
    with pytest.raises(InputError, match=message):
        grammars.for_json_schema(schema)


@pytest.mark.parametrize("depth", [200, 5000])
def test_a_schema_of_too_many_levels_is_refused(grammars: Grammars, depth: int) -> None:
    """It breaks neither Python nor llguidance."""
    with pytest.raises(InputError, match="recursion"):
        grammars.for_json_schema(nested(depth))


@pytest.mark.parametrize("pattern", ["a(b", "(?=x)y", r"(a)\1"])
def test_a_pattern_that_cannot_be_used_is_refused(grammars: Grammars, pattern: str) -> None:
    """Its syntax is that of Rust's regex."""
    with pytest.raises(InputError, match="pattern cannot be used") as told:
        grammars.for_regex(pattern)
    assert "look-around" in told.value.advice


def test_a_token_that_was_not_allowed_is_an_error(grammars: Grammars, tokenizer: Any) -> None:
    """The engine's mistake is not passed over: the text would no longer fit."""
    constraint = grammars.for_regex("hello")
    with pytest.raises(EngineError, match="held to its schema"):
        constraint.accept(tokenizer.convert_tokens_to_ids("z"))
    with pytest.raises(EngineError):
        constraint.allowed()


CITY = {"type": "object", "properties": {"a": {"const": "b"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    "asked",
    [
        {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITY}},
        {"type": "json_schema", "json_schema": {"schema": CITY}},
        {"type": "json_schema", "schema": CITY},
        {"type": "json_object", "schema": CITY},
        {"type": "json_schema", "value": {"name": "city", "schema": CITY}},
        {"type": "json", "value": CITY},
        {"type": "json", "value": json.dumps(CITY)},
        {"type": "regex", "value": r'\{"a":"b"\}'},
    ],
    ids=str,
)
def test_every_envelope_is_opened(asked: dict[str, Any], grammars: Grammars, tokenizer: Any) -> None:
    """OpenAI's, that of text generation, and those of other servers."""
    constraint = constraint_for(asked, grammars)
    assert constraint is not None
    assert feed(constraint, tokenizer.encode('{"a":"b"}'))
    assert tokens_of(constraint) == {0, 1}


def test_text_needs_no_constraint_and_json_mode_any_object(grammars: Grammars, tokenizer: Any) -> None:
    """`None` is nothing to hold to; a json_schema without its schema is JSON mode."""
    assert constraint_for(None, grammars) is None
    assert constraint_for({"type": "text"}, grammars) is None
    for asked in ({"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "x"}}):
        constraint = constraint_for(asked, grammars)
        assert constraint is not None
        assert feed(constraint, tokenizer.encode('{"x":[1,{}]}'))
        assert tokens_of(constraint) == {0, 1}


@pytest.mark.parametrize(
    "asked", [{}, {"type": "xml"}, {"type": "regex"}, {"type": "json"}, {"type": "json", "value": "{"}], ids=str
)
def test_an_unknown_envelope_is_refused(asked: dict[str, Any], grammars: Grammars) -> None:
    """The advice shows those that are known."""
    with pytest.raises(InputError) as told:
        constraint_for(asked, grammars)
    assert told.value.advice


def test_the_constraint_waits_for_the_end_of_the_thoughts(
    grammars: Grammars, tokenizer: Any, leaning: np.ndarray
) -> None:
    """Anything may be thought, but the text does not end with it; after the closing tag the JSON comes."""
    closing = tokenizer.convert_tokens_to_ids(DONE_THINKING)
    likes = leaning.copy()
    likes[closing] += 4
    for seed in range(20):
        constraint = grammars.after_thinking(grammars.for_json_schema(CITY), DONE_THINKING)
        assert tokens_of(constraint) == set(range(len(tokenizer))) - {0, 1}
        walk = Walk(constraint, likes, seed)
        assert walk.ended
        _, _, answer = walk.text(tokenizer).partition(DONE_THINKING)
        assert json.loads(answer) == {"a": "b"}
    by_tokens = grammars.after_thinking(grammars.for_json_schema(CITY), [closing])
    assert feed(by_tokens, [*tokenizer.encode("hello <x"), closing, *tokenizer.encode('{"a":"b"}')])
    assert tokens_of(by_tokens) == {0, 1}


def test_a_closing_of_several_tokens_is_found_however_it_is_cut(grammars: Grammars, tokenizer: Any) -> None:
    """A token that closes the block and goes on is not allowed, unless what follows is blank."""
    bpe = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    bpe.add_tokens(["son>x", "n>\n\n", "</reason>y", "</reason>\n"])
    grown = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END)
    several = Grammars(grown)
    runs_on, blank, whole, whole_blank = grown.convert_tokens_to_ids(["son>x", "n>\n\n", "</reason>y", "</reason>\n"])

    def written(*pieces: str | int) -> Constraint:
        constraint = several.after_thinking(several.for_regex("yes"), "</reason>")
        for piece in pieces:
            for token in [piece] if isinstance(piece, int) else [grown.convert_tokens_to_ids(each) for each in piece]:
                constraint.accept(token)
        return constraint

    assert runs_on in tokens_of(written("</re"))
    assert runs_on not in tokens_of(written("</rea"))
    assert whole not in tokens_of(written("h"))
    begun = set(grown.convert_tokens_to_ids(["y", "ye", "yes"])) - {None}
    for constraint in (written("</reason>"), written("x</</reaso", blank), written(whole_blank)):
        assert tokens_of(constraint) <= begun
        assert feed(constraint, grown.encode("yes"))
        assert tokens_of(constraint) == {0}


def test_a_model_may_think_or_answer_at_once(grammars: Grammars, tokenizer: Any) -> None:
    """Where the prompt opens no block, the first token says which of the two it is."""
    opening, closing = tokenizer.convert_tokens_to_ids([THINK, DONE_THINKING])

    def begun() -> Constraint:
        return grammars.after_thinking(grammars.for_json_schema(CITY), DONE_THINKING, opening=THINK)

    plain = grammars.for_json_schema(CITY)
    assert tokens_of(begun()) == tokens_of(plain) | {opening}
    assert feed(begun(), [*tokenizer.encode('{"a":"b"}'), 0])
    assert not feed(begun(), tokenizer.encode("hello"))
    assert feed(begun(), [opening, *tokenizer.encode("hello"), closing, *tokenizer.encode('{"a":"b"}'), 1])
    pieces = tokenizer.encode("hello this")
    assert len(pieces) > 1
    longer = grammars.after_thinking(grammars.for_json_schema(CITY), DONE_THINKING, opening=pieces)
    assert feed(longer, pieces[:1])
    assert tokens_of(longer) == {pieces[1]}
    assert feed(longer, [*pieces[1:], *tokenizer.encode("{"), closing, *tokenizer.encode('{"a":"b"}'), 1])


def test_stop_tokens_are_the_models_or_the_tokenizers(tokenizer: Any) -> None:
    """Those beyond the vocabulary cannot be written, so they are left out; none at all is an error."""
    for given, expected in (((), {0}), ([1], {1}), ([1, 9999], {1})):
        constraint = Grammars(tokenizer, given).for_regex("")
        assert tokens_of(constraint) == expected
    with pytest.raises(InputError, match="no end-of-text token"):
        Grammars(tokenizer, [9999])
    endless = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(InputError, match="no end-of-text token"):
        Grammars(endless)


def test_a_slow_tokenizer_is_refused() -> None:
    """llguidance reads fast ones only."""

    class Slow:
        eos_token_id = 0

        def __len__(self) -> int:
            return 10

    with pytest.raises(InputError, match="fast tokenizer"):
        Grammars(Slow())


def test_large_vocabularies_work(tokenizer: Any, leaning: np.ndarray) -> None:
    """150,000 tokens, of which those beyond the tokenizer's are never allowed."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [END, END_OF_TURN, *alphabet, *(f"w{number:x}" for number in range(150_000 - 2 - len(alphabet)))]
    bpe = Tokenizer(models.BPE({name: place for place, name in enumerate(names)}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens([END, END_OF_TURN])
    large = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END)
    constraint = Grammars(large, {0, 1}).for_json_schema({"type": "array", "items": {"type": "string"}, "maxItems": 1})
    sampler = Sampler(Sampling(temperature=1.0, seed=5), [])
    rng = np.random.default_rng(1)
    written: list[int] = []
    while not written or written[-1] not in {0, 1}:
        scores = rng.standard_normal(151_936).astype(np.float32)
        scores[large.convert_tokens_to_ids(['"', "]"])] += 12
        written.append(sampler.choose(scores, constraint.allowed()).token)
        constraint.accept(written[-1])
    assert max(written) < 150_000
    TypeAdapter(list[str]).validate_json(large.decode(written[:-1]))


@pytest.mark.parametrize(("there", "extra"), [({"torch", "mlx"}, "torch"), ({"mlx"}, "mlx"), (set(), "torch")])
def test_missing_llguidance_names_the_pip_command(there: set[str], extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is that of the engine which is installed."""
    monkeypatch.setitem(sys.modules, "llguidance", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in there or None)
    spec = importlib.util.spec_from_file_location("anew", Path(constrain.__file__))
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(MissingExtraError) as told:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert told.value.advice == f'pip install "hfclient[{extra}]"'
