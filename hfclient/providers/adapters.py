"""LoRA weights: what a provider is told of them where the model on the Hub is an adapter to another."""

from __future__ import annotations

from hfclient.call import Call
from hfclient.route import Route

HUB = "https://huggingface.co"


def repository_of(call: Call, route: Route) -> str:
    """The model's address on the Hub, which is not the provider's id of it."""
    named = route.extras.get("hfModelId") or (call.model or "").partition(":")[0]
    return f"{HUB}/{named}"


def weights_of(call: Call, route: Route) -> str | None:
    """The address of the weights; None where the model is complete in itself."""
    path = route.extras.get("adapterWeightsPath")
    return f"{repository_of(call, route)}/resolve/main/{path}" if path else None
