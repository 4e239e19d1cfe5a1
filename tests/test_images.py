"""Pictures over OpenAI's route: each provider's quirks, every form of answer, and what was recorded."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient import Client
from hfclient.errors import BadRequestError, NotSupportedError, ResponseError, StatusError
from hfclient.flow import Fetch, Fetched, Load, post
from hfclient.media import Loaded, Media
from hfclient.providers.images import measured, referring, sized
from hfclient.types import Image
from tests.asking import ROWS, THEIRS, asked, asked_by_them, exchanges, flow_of
from tests.flows import play, reply
from tests.internet import HF, MODEL, Internet, httpx, live

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGOUOyHHwMDAxMDAwMDAAAAMeQEaRVmZRAAAAABJRU5ErkJggg=="
)
PACKED = base64.b64encode(PNG).decode()
PROMPT = "a giant tortoise"
KONTEXT = "black-forest-labs/FLUX.1-kontext-pro"

ALL: dict[str, Any] = {
    "negative_prompt": "hare",
    "height": 512,
    "width": 768,
    "num_inference_steps": 4,
    "guidance_scale": 3.5,
    "scheduler": "euler",
    "seed": 7,
}
SAID = {"negative_prompt": "hare", "scheduler": "euler", "seed": 7}

# What goes where for a picture with everything said about it, by each provider's own documentation.
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "deepinfra": (
        "/v1/openai/images/generations",
        {
            "model": THEIRS,
            "prompt": PROMPT,
            **SAID,
            "num_inference_steps": 4,
            "guidance_scale": 3.5,
            "response_format": "b64_json",
            "size": "768x512",
        },
    ),
    "hyperbolic": (
        "/v1/images/generations",
        {
            "model_name": THEIRS,
            "prompt": PROMPT,
            **SAID,
            "height": 512,
            "width": 768,
            "steps": 4,
            "cfg_scale": 3.5,
        },
    ),
    "nebius": (
        "/v1/images/generations",
        {
            "model": THEIRS,
            "prompt": PROMPT,
            **SAID,
            "height": 512,
            "width": 768,
            "num_inference_steps": 4,
            "response_format": "b64_json",
        },
    ),
    "nscale": (
        "/v1/images/generations",
        {
            "model": THEIRS,
            "prompt": PROMPT,
            **SAID,
            "guidance_scale": 3.5,
            "response_format": "b64_json",
            "size": "768x512",
        },
    ),
    "together": (
        "/v1/images/generations",
        {
            "model": THEIRS,
            "prompt": PROMPT,
            **SAID,
            "height": 512,
            "width": 768,
            "steps": 4,
            "guidance_scale": 3.5,
            "response_format": "base64",
        },
    ),
}

every_row = pytest.mark.parametrize("name", REQUESTS)


def picture(name: str, **parts: Any) -> Any:
    return flow_of(name, asked("text-to-image", PROMPT, **parts))


def body_for(name: str, **parts: Any) -> dict[str, Any]:
    return dict(next(picture(name, **parts)).json)


@every_row
def test_a_picture_is_one_request(name: str) -> None:
    """Everything that is said reaches the provider under its own names, and its id of the model stands first."""
    path, body = REQUESTS[name]
    step = next(picture(name, parameters=ALL))
    assert step == post(path, json=body)
    assert list(step.json)[:2] == list(body)[:2]


@every_row
def test_what_is_not_said_is_not_sent(name: str) -> None:
    """Beside model and prompt there is only what the provider insists on."""
    insisted = {
        "hyperbolic": {"width": 512, "height": 512},
        "together": {"response_format": "base64"},
    }.get(name, {"response_format": "b64_json"})
    word = "model_name" if name == "hyperbolic" else "model"
    assert body_for(name) == {word: THEIRS, "prompt": PROMPT, **insisted}


@every_row
def test_nothing_takes_the_place_of_the_providers_model(name: str) -> None:
    """`extra_body` adds to the body, but does not lead the call to another model than was paid for."""
    body = body_for(name, extra={"model": "somebody/else", "style": "vivid"})
    assert next(iter(body.values())) == THEIRS
    assert (body.get("model", THEIRS), body["style"]) == (THEIRS, "vivid")


@every_row
def test_the_callers_own_form_of_answer_wins(name: str) -> None:
    """Whoever asks for an address instead of base64 gets it, and the picture from there."""
    flow = picture(name, extra={"response_format": "url"})
    assert next(flow).json["response_format"] == "url"
    fetch = flow.send(reply({"data": [{"url": "https://files.invalid/a.png?sig=1"}]}))
    assert fetch == Fetch("https://files.invalid/a.png?sig=1")
    with pytest.raises(StopIteration) as returned:
        flow.send(Fetched(PNG, "image/png", "https://files.invalid/a.png", None, len(PNG)))
    image: Image = returned.value.value
    assert (image.content, image.media_type, image.url) == (PNG, "image/png", "https://files.invalid/a.png")


@pytest.mark.parametrize(
    "payload",
    [
        {"data": [{"b64_json": PACKED}]},
        {"data": [{"b64_json": PACKED, "url": None}, {"b64_json": "AAAA"}]},
        {"data": [{"b64_json": f"data:image/png;base64,{PACKED}"}]},
        {"data": [{"url": f"data:image/png;base64,{PACKED}", "b64_json": None}]},
        {"images": [{"index": 0, "image": PACKED, "random_seed": 1}], "inference_time": 0.9},
        {"data": [{"b64_json": PACKED}], "error": None, "message": ""},
    ],
    ids=["base64", "several", "data URI in base64's place", "data URI as address", "Hyperbolic", "no error"],
)
@every_row
def test_the_picture_is_found_in_every_form_of_answer(name: str, payload: object) -> None:
    """Base64, a data: URI or Hyperbolic's own form: the picture is the same, and nothing more is asked for."""
    steps, image = play(picture(name), reply(payload))
    assert len(steps) == 1
    assert (type(image), image.content, image.media_type) == (Image, PNG, "image/png")


@pytest.mark.parametrize(
    "payload",
    [
        {},
        [],
        "https://files.invalid/a.png",
        {"data": []},
        {"data": None},
        {"data": {}},
        {"data": ["x"]},
        {"data": [[]]},
        {"data": [{}]},
        {"data": [{"url": ""}]},
        {"images": [{}]},
    ],
    ids=str,
)
def test_an_answer_without_a_picture_is_refused(payload: object) -> None:
    """A success that holds no picture is an error that shows what came instead."""
    with pytest.raises(ResponseError, match="no picture") as caught:
        play(picture("nscale"), reply(payload))
    assert (caught.value.status, caught.value.body) == (200, json.dumps(payload))


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"data": [{"b64_json": 5}]}, "no image"),
        ({"data": [{"b64_json": "!"}]}, "no base64"),
        ({"data": [{"url": 5}]}, "where the image is"),
        ({"error": {"message": "flagged", "code": "content_policy"}}, "flagged"),
        (b"<html>busy</html>", "not JSON"),
    ],
    ids=repr,
)
def test_what_is_no_picture_is_refused(payload: object, said: str) -> None:
    """Nonsense in the picture's place, and an error that came as a success, are typed errors too."""
    with pytest.raises(ResponseError, match=said):
        play(picture("together"), reply(payload))


def test_nscale_is_not_told_what_it_does_not_take() -> None:
    """Steps and cfg_scale are no parameters of its route; how the size is written is."""
    body = body_for("nscale", parameters={"num_inference_steps": 4}, extra={"cfg_scale": 2, "quality": "hd"})
    assert body == {"model": THEIRS, "prompt": PROMPT, "quality": "hd", "response_format": "b64_json"}


def test_nebius_is_not_told_of_guidance() -> None:
    """Its route has no guidance_scale; the steps it takes."""
    assert body_for("nebius", parameters={"guidance_scale": 2.0, "num_inference_steps": 4}) == {
        "model": THEIRS,
        "prompt": PROMPT,
        "num_inference_steps": 4,
        "response_format": "b64_json",
    }


@pytest.mark.parametrize("given_size", [{"width": 640}, {"height": 480}])
def test_one_side_alone_is_no_size(given_size: dict[str, int]) -> None:
    """It goes as it is, for the provider to say what it thinks of it; Hyperbolic gets the other side as well."""
    assert body_for("nscale", parameters=given_size).items() >= given_size.items()
    assert body_for("hyperbolic", parameters=given_size).items() >= {"width": 512, "height": 512, **given_size}.items()


BODIES = st.dictionaries(
    st.sampled_from(["prompt", "width", "height", "size", "target_size", "image_url", "reference_images", "seed"]),
    st.one_of(
        st.integers(1, 9), st.just("512x512"), st.fixed_dictionaries({"width": st.just(1), "height": st.just(2)})
    ),
)


@given(BODIES, st.sampled_from([sized, measured, referring]), st.sampled_from([THEIRS, KONTEXT]))
def test_a_change_loses_nothing(said: dict[str, Any], change: Any, model: str) -> None:
    """A change keeps the model first, moves values to their own place and no other, and can be repeated."""
    before = {"model": model, **said}
    after = change(dict(before))
    assert next(iter(after)) == "model"
    assert change(after) == after
    for name in before.keys() - after.keys():
        replaced = {"width": "size", "height": "size", "target_size": "width", "image_url": "reference_images"}
        assert replaced[name] in after
    unchanged = {name: value for name, value in before.items() if name in after}
    assert {name: after[name] for name in unchanged} == unchanged


def test_what_the_caller_says_outright_wins() -> None:
    """`size` beside width and height, and width beside target_size, are the caller's last word."""
    assert body_for("deepinfra", parameters={"width": 1, "height": 2}, extra={"size": "8x8"})["size"] == "8x8"
    assert measured({"model": "m", "target_size": {"width": 1, "height": 2}, "width": 9}) == {
        "model": "m",
        "width": 9,
        "height": 2,
    }


def edit(source: Any, model_id: str = THEIRS, **parts: Any) -> Any:
    return flow_of("together", asked("image-to-image", Media(source), **parts), model_id)


@pytest.mark.parametrize(
    ("model_id", "field"),
    [
        (KONTEXT, "image_url"),
        ("black-forest-labs/FLUX.1-Kontext-max", "image_url"),
        ("black-forest-labs/FLUX.2-dev", "reference_images"),
        ("somebody/kontext-2", "reference_images"),
        ("google/flash-image-2.5", "reference_images"),
    ],
)
def test_together_takes_the_picture_in_two_ways(model_id: str, field: str) -> None:
    """FLUX.1 Kontext wants it as `image_url`, all other models as one of `reference_images`."""
    address = "https://host.invalid/cat.png?sig=1"
    step = next(edit(address, model_id, parameters={"prompt": "a tiger"}))
    place = address if field == "image_url" else [address]
    body = {"model": model_id, "prompt": "a tiger", "response_format": "base64", field: place}
    assert step == post("/v1/images/generations", json=body)
    assert next(iter(step.json)) == "model"


def test_a_picture_on_this_machine_is_loaded_first() -> None:
    """Bytes and files go out as a data: URI that says what they really are."""
    steps, image = play(edit(PNG), Loaded(PNG, "image/png"), reply({"data": [{"b64_json": PACKED}]}))
    assert steps[0] == Load(Media(PNG))
    assert steps[1].json["reference_images"] == [f"data:image/png;base64,{PACKED}"]
    assert image.content == PNG


def test_no_words_are_an_empty_prompt() -> None:
    """Together refuses a request without a prompt, and null for one."""
    body = next(edit("https://host.invalid/cat.png")).json
    assert body["prompt"] == ""


def test_everything_about_an_edit_reaches_together() -> None:
    """The size by its sides, the steps by Together's name for them, the rest as it is."""
    parameters = {
        "prompt": "a tiger",
        "negative_prompt": "stripes",
        "num_inference_steps": 9,
        "guidance_scale": 2.5,
        "target_size": {"width": 640, "height": 480},
    }
    body = next(edit("https://host.invalid/cat.png", parameters=parameters, extra={"n": 1})).json
    assert body == {
        "model": THEIRS,
        "prompt": "a tiger",
        "negative_prompt": "stripes",
        "steps": 9,
        "guidance_scale": 2.5,
        "width": 640,
        "height": 480,
        "n": 1,
        "response_format": "base64",
        "reference_images": ["https://host.invalid/cat.png"],
    }


# Where we differ from huggingface_hub, by case: what it sends, what we send, and why.
DIFFERENT: dict[tuple[str, str], set[str]] = {
    # Together documents width and height; target_size is Hugging Face's word, and would be passed over.
    ("together", "image-to-image"): {"target_size", "width", "height"},
}


@pytest.mark.parametrize("extra", [{}, {"style": "vivid", "n": 1}], ids=["plain", "extra"])
@pytest.mark.parametrize(
    ("name", "task", "inputs", "parameters"),
    [
        ("nscale", "text-to-image", PROMPT, {}),
        ("nscale", "text-to-image", PROMPT, ALL),
        ("nscale", "text-to-image", PROMPT, {"width": 1}),
        ("together", "text-to-image", PROMPT, {}),
        ("together", "text-to-image", PROMPT, ALL),
        ("together", "image-to-image", "https://host.invalid/cat.png", {}),
        (
            "together",
            "image-to-image",
            "https://host.invalid/cat.png",
            {"prompt": "x", "num_inference_steps": 3, "target_size": {"width": 6, "height": 4}},
        ),
    ],
)
def test_the_request_is_the_official_clients(
    name: str, task: str, inputs: str, parameters: dict[str, Any], extra: dict[str, Any]
) -> None:
    """Address and body agree with huggingface_hub's, but for what DIFFERENT says."""
    mine = asked(task, Media(inputs) if "://" in inputs else inputs, parameters, extra)
    for model_id in (THEIRS, KONTEXT):
        theirs = asked_by_them(name, asked(task, inputs, parameters, extra), model_id)
        ours = next(flow_of(name, mine, model_id))
        assert ROWS[name].url + ours.path == theirs.url
        found = {key for key in {*ours.json, *theirs.json} if ours.json.get(key, ...) != theirs.json.get(key, ...)}
        assert found == (DIFFERENT.get((name, task), set()) if "target_size" in parameters else set())


ERRORS: dict[int, tuple[type[StatusError], ...]] = {400: (BadRequestError, NotSupportedError), 422: (BadRequestError,)}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "exchange"),
    [
        pytest.param(name, *param.values, id=f"{name}-{param.id}", marks=param.marks)
        for name in ("hyperbolic", "together")
        for param in exchanges(f"{name}__text-to-image")
    ],
)
async def test_recorded_answers_are_pictures_or_typed_errors(name: str, exchange: dict[str, Any]) -> None:
    """What was recorded comes out as the picture on the tape, or as an error with the provider's words."""
    recorded = exchange["response"]
    answer = httpx.Response(recorded["status"], headers=recorded["headers"], content=recorded["body_text"].encode())
    with Internet() as internet:
        host = ROWS[name].url.partition("://")[2]
        internet.at(host, answer)
        internet.serves(MODEL, {name: live("SD2", "text-to-image")})
        async with Client(HF, keys={name: "own_fake_0123"}, provider=name, retry=False) as client:
            if recorded["status"] == 200:
                image = await client.text_to_image(PROMPT, model=MODEL)
                payload = json.loads(recorded["body_text"])
                first = payload["images"][0]["image"] if "images" in payload else payload["data"][0]["b64_json"]
                assert image.content == base64.b64decode(first)
                assert image.media_type == ("image/png" if name == "hyperbolic" else "image/jpeg")
                assert image.meta.provider == name
            else:
                with pytest.raises(ERRORS[recorded["status"]]) as caught:
                    await client.text_to_image(PROMPT, model=MODEL)
                assert caught.value.status == recorded["status"]
        assert internet.sent(host).url.path == "/v1/images/generations"


@pytest.mark.parametrize("exchange", exchanges("hyperbolic__text-to-image", status=200))
def test_what_succeeded_on_tape_is_what_we_ask(exchange: dict[str, Any]) -> None:
    """The recorded requests that were answered well hold nothing that ours leaves out."""
    told: dict[str, Any] = exchange["request"]["body_json"]
    sides = {name: told[name] for name in ("width", "height") if name in told}
    body = body_for("hyperbolic", parameters=sides)
    # By its default the answer is base64, as the later recordings show; and `model` was only a companion's leftover.
    left_out = told.keys() - body.keys()
    assert left_out <= {"response_format", "model"}


@pytest.mark.anyio
async def test_a_picture_comes_through_the_router() -> None:
    """With a Hugging Face token, the row's path stands under the router's address for the provider."""
    with Internet() as internet:
        internet.serves(MODEL, nscale=live("flux", "text-to-image"))
        internet.at("router/nscale", httpx.Response(200, json={"data": [{"b64_json": PACKED}]}))
        async with Client(HF, provider="nscale") as client:
            image = await client.text_to_image(PROMPT, model=MODEL, width=2, height=2)
        assert internet.sent("router/nscale").url.path == "/nscale/v1/images/generations"
        assert internet.body("router/nscale")["size"] == "2x2"
    assert (image.content, image.meta.provider) == (PNG, "nscale")
