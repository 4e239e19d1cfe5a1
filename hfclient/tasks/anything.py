"""Tasks by their names: submitted as a job, or asked for in the provider's own words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import Unpack

from hfclient import tasks
from hfclient.call import FileOptions, Options, nearest, unknown_option
from hfclient.defaults import OPTION_NAMES
from hfclient.errors import InputError
from hfclient.job import Job, submitted
from hfclient.media import as_media, is_media
from hfclient.tasks.arguments import ELSEWHERE, call_of
from hfclient.types.raw import RawAnswer

if TYPE_CHECKING:
    from hfclient.client import Client

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    function.__name__.replace("_", "-"): function for function in tasks.TASK_FUNCTIONS
}
OF_ITS_RESULT = ("on_progress", "save_to", "max_download_bytes")


async def submit(client: Client, task: str, /, *inputs: Any, **arguments: Any) -> Job:
    """Begin a task as a job, and come back for its result later. The arguments are those of the task's own function.

    >>> job = await client.submit("text-to-video", "A cat walks over the roofs.", model="Wan-AI/Wan2.2-T2V-A14B")
    >>> video = await job.result()
    """
    function = FUNCTIONS.get(str(task).replace("_", "-"))
    if function is None:
        raise InputError(f"There is no task {task!r} to submit.", advice=nearest(str(task), FUNCTIONS, "There are"))
    for name in OF_ITS_RESULT:
        if arguments.get(name) is not None:
            raise InputError(
                f"submit takes no option {name!r}.", advice=f"It belongs to the result: job.result({name}=…)."
            )
    try:
        bound = inspect.signature(function).bind(client, *inputs, **arguments)
    except TypeError as error:
        raise InputError(f"{function.__name__}: {error}.", advice=f"See help(client.{function.__name__}).") from None
    bound.apply_defaults()
    return await submitted(client, call_of(function, bound.arguments))


async def request(
    client: Client,
    task: str,
    inputs: Any,
    parameters: Mapping[str, Any] | None = None,
    *,
    model: str | None = None,
    **options: Unpack[Options],
) -> RawAnswer:
    """Ask for a task that has no function here, with inputs and parameters as its provider takes them.

    >>> answer = await client.request("image-feature-extraction", Path("cat.png"), model="google/vit-base")
    >>> answer.json()
    """
    for name in options:
        if name not in OPTION_NAMES:
            raise unknown_option(name, {*OPTION_NAMES, "model"}, where="request", elsewhere=ELSEWHERE)
    if not isinstance(task, str) or not task.strip():
        raise InputError(
            f"request: task={task!r} is not the name of a task.", advice='For example "image-feature-extraction".'
        )
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InputError(f"request: parameters is of type {type(parameters).__name__}, not a mapping.")
    if inputs is None or (isinstance(inputs, str) and not inputs.strip()):
        raise InputError(
            "request: there are no inputs.", advice="Pass a text, a mapping, or media as Path(…) or bytes."
        )
    call = client.defaults.call(
        task.replace("_", "-"),
        as_media(inputs, strings="url", what="request: inputs") if is_media(inputs) else inputs,
        model=model,
        parameters=dict(parameters or {}),
        options=cast("FileOptions", options),
        raw=True,
    )
    return cast("RawAnswer", await client.dispatcher.run(call))
