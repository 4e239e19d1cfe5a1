"""A package as a third party would publish it: two providers for a task that hfclient's own do not have."""

from __future__ import annotations

from typing import Any

from hfclient.call import Call
from hfclient.flow import Flow, post
from hfclient.provider import Provider, Task
from hfclient.route import Route


def classify(call: Call, route: Route) -> Flow[Any]:
    reply = yield post("/classify", json={"model": route.model_id, "text": call.inputs, **route.extras})
    return {"served_by": route.provider.name, **reply.json()}


TASKS = {"text-classification": Task(classify)}

alpha = Provider("alpha", "https://api.alpha.example", TASKS, ("ALPHA_API_KEY",))
beta = Provider("beta", "https://api.beta.example", TASKS, ("BETA_API_KEY",))
alone = Provider("alone", "https://api.alone.example", TASKS, ("ALONE_API_KEY",), routed=False, mapped=False)
not_groq = Provider("groq", "https://api.not-groq.example", TASKS)

several = (alpha, beta, not_groq)
