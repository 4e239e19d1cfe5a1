"""Models as the router and the Hub tell of them: who serves each, for what, at which price and speed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, Field

from hfclient.types.base import Result, Wire

T = TypeVar("T")

Rank: TypeAlias = tuple[float, ...]


def _nonsense(_: Any) -> None: ...


# What is told beside a name: where it makes no sense it is not known, and the rest stays. A union, tried from the left,
# rather than a validator around each: a list has thousands of these, and hardly one of them makes no sense.
if TYPE_CHECKING:
    Told: TypeAlias = T | None
    Names: TypeAlias = tuple[str, ...]
else:
    Told = Annotated[T | Annotated[Any, AfterValidator(_nonsense)], Field(union_mode="left_to_right")]
    Names = Annotated[tuple[str, ...] | Annotated[Any, AfterValidator(lambda _: ())], Field(union_mode="left_to_right")]
Figure: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Pricing(Wire):
    """What tokens cost, in USD per million."""

    input: Told[Figure] = None
    output: Told[Figure] = None


class ModelProvider(Wire):
    """One provider's offer of one model. What is None was not told."""

    provider: str
    provider_id: Told[str] = None
    task: Told[str] = None
    status: Told[str] = "live"
    context_length: Told[int] = None
    pricing: Told[Pricing] = None
    is_free: Told[bool] = None
    supports_tools: Told[bool] = None
    supports_structured_output: Told[bool] = None
    first_token_latency_ms: Told[Figure] = None
    throughput: Told[Figure] = None
    is_model_author: Told[bool] = None

    @property
    def live(self) -> bool:
        """It passed its last health check and is meant for everybody."""
        return self.status == "live"

    @property
    def price(self) -> Pricing | None:
        """What is paid: nothing where it is free."""
        return Pricing(input=0, output=0) if self.is_free else self.pricing


class Model(Result):
    """A model: `id`, `task`, the `providers` that serve it, and among them the `cheapest` and the `fastest`."""

    id: Annotated[str, Field(min_length=1)]
    task: Told[str] = None
    created: Told[int] = None
    owned_by: Told[str] = None
    input_modalities: Names = ()
    output_modalities: Names = ()
    providers: tuple[ModelProvider, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it is served for, which need not be the `task` its page is filed under."""
        return tuple(dict.fromkeys(offer.task for offer in self.providers if offer.task))

    @property
    def cheapest(self) -> ModelProvider | None:
        """The live offer with the lowest price of an output token, None where no price is known."""
        return _first(self.providers, by_price)

    @property
    def fastest(self) -> ModelProvider | None:
        """The live offer with the most tokens per second, None where no speed is known."""
        return _first(self.providers, by_speed)

    def on(self, provider: str) -> ModelProvider | None:
        """What this provider offers, None where it does not serve the model."""
        return next((offer for offer in self.providers if offer.provider == provider), None)


def by_price(offer: ModelProvider) -> Rank | None:
    """The price of output first, as the router reckons; what has no output has only the other one."""
    price = offer.price
    told = [each for each in (price.output, price.input) if each is not None] if price else []
    return tuple(told) or None


def by_speed(offer: ModelProvider) -> Rank | None:
    return None if offer.throughput is None else (-offer.throughput,)


# The order in which a suffix on the model's name puts the providers.
ORDERS: Mapping[str, Callable[[ModelProvider], Rank | None]] = {"cheapest": by_price, "fastest": by_speed}


def _first(offers: Iterable[ModelProvider], order: Callable[[ModelProvider], Rank | None]) -> ModelProvider | None:
    ranked = [(rank, offer) for offer in offers if offer.live and (rank := order(offer)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None
