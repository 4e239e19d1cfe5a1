"""Jobs that are queued, run and done: each provider's way to take one, to tell how it stands, and to give its result.

A job needs no time but looks: it is queued at the first, runs at the second, and is done at the third.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from hfclient.sandbox import media, results
from hfclient.sandbox.catalogue import task_of
from hfclient.sandbox.wire import JSON, Answer, Arrival, answered, refused, within

State: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
Keep: TypeAlias = Callable[[bytes, str], str]

LOOKS = 2
FAILED = "The model ran out of ideas."


@dataclass(slots=True)
class Work:
    """One job: what it will have made, and how it stands."""

    id: str
    model: str
    made: JSON
    looks: int = LOOKS
    fails: bool = False
    cancelled: bool = False

    def look(self) -> State:
        """How it stands; being looked at is what brings it on."""
        if self.cancelled:
            return "cancelled"
        if self.looks > 0:
            self.looks -= 1
            return "queued" if self.looks == LOOKS - 1 else "running"
        return "failed" if self.fails else "done"


@dataclass(slots=True)
class Jobs:
    """The jobs of a sandbox; `fail_next` is how many of the next ones come to nothing."""

    keep: Keep
    told: Mapping[str, str]
    by_id: dict[str, Work] = field(default_factory=dict[str, Work])
    fail_next: int = 0

    def begin(self, model: str, made: JSON, looks: int = LOOKS) -> Work:
        fails, self.fail_next = self.fail_next > 0, max(0, self.fail_next - 1)
        work = Work(f"job-{len(self.by_id) + 1:04d}", model, made, looks, fails)
        self.by_id[work.id] = work
        return work

    def answer(self, arrival: Arrival) -> Answer | None:
        """What the provider says in its own protocol; None where this is not about a job."""
        speak = _PROTOCOLS.get(arrival.provider)
        return speak(self, arrival) if speak else None

    def find(self, name: str) -> Work | None:
        return self.by_id.get(name)

    def file(self, model: str, asked: Mapping[str, JSON], fallback: str) -> tuple[str, str]:
        """What the model makes of what it was asked: the task's kind of file, and the address where it lies."""
        task = task_of(model, self.told) or fallback
        prompt = str(asked.get("prompt") or asked.get("text") or "untitled")
        if task.endswith("video"):
            return "video", self.keep(media.mp4(prompt), "video/mp4")
        if task in {"text-to-speech", "text-to-audio", "audio-to-audio"}:
            return "audio", self.keep(media.wav(prompt), "audio/wav")
        return "image", self.keep(results.picture(prompt, asked), "image/png")


def _missing(name: str) -> Answer:
    return refused(404, f"There is no job {name!r}.")


def _fal(jobs: Jobs, arrival: Arrival) -> Answer:
    segments = arrival.segments
    if "requests" not in segments:
        model = "/".join(segments)
        made = _made_by_fal(jobs, model, arrival.json())
        at_once = not (arrival.host.startswith("queue.") or arrival.query.get("_subdomain") == "queue")
        return answered(made) if at_once else answered(_fal_status(jobs.begin(model, made), "queued"))
    place = segments.index("requests")
    work = jobs.find(segments[place + 1])
    if work is None:
        return _missing(segments[place + 1])
    match segments[place + 2 :]:
        case ["status"]:
            return answered(_fal_status(work, work.look()))
        case ["cancel"]:
            work.cancelled = True
            return answered({"status": "CANCELLATION_REQUESTED"}, 202)
        case _:
            failed = work.fails or work.cancelled
            return (
                answered({"detail": [{"loc": ["body"], "msg": FAILED, "type": "failed"}]}, 422)
                if failed
                else (answered(work.made))
            )


def _fal_status(work: Work, state: State) -> JSON:
    here = f"https://queue.fal.run/{work.model}/requests/{work.id}"
    status = {"queued": "IN_QUEUE", "running": "IN_PROGRESS"}.get(state, "COMPLETED")
    said: dict[str, Any] = {"status": status, "request_id": work.id, "response_url": here}
    said |= {"status_url": f"{here}/status", "cancel_url": f"{here}/cancel"}
    if state == "queued":
        said["queue_position"] = work.looks
    elif state == "running":
        said["logs"] = [{"message": "Working on it.", "level": "INFO"}]
    elif state in {"failed", "cancelled"}:
        kind = "failed" if state == "failed" else "client_cancelled"
        said |= {"error": FAILED if state == "failed" else "The request was cancelled.", "error_type": kind}
    return said


def _made_by_fal(jobs: Jobs, model: str, asked: Mapping[str, JSON]) -> JSON:
    task = task_of(model, jobs.told)
    if task == "audio-to-audio":
        return {"audio": {"url": jobs.keep(media.wav("voice"), "audio/wav"), "content_type": "audio/wav"}}
    if "audio_url" in asked:
        return results.transcript(timed=True)
    if task == "image-segmentation":
        return {"image": {"url": jobs.keep(media.mask(), "image/png"), "content_type": "image/png"}}
    kind, url = jobs.file(model, asked, "text-to-speech" if "text" in asked else "text-to-image")
    held = {"url": url, "content_type": {"video": "video/mp4", "audio": "audio/wav", "image": "image/png"}[kind]}
    if kind != "image":
        return {kind: {**held, "file_name": url.rpartition("/")[2], "file_size": 1234}}
    width, height = results.size_of(asked)
    beside = {"timings": {"inference": 0.5}, "seed": 7, "has_nsfw_concepts": [False], "prompt": asked.get("prompt", "")}
    return {"images": [{**held, "width": width, "height": height}], **beside}


def _replicate(jobs: Jobs, arrival: Arrival) -> Answer:
    match arrival.segments:
        case ["v1", "predictions", name]:
            work = jobs.find(name)
            return answered(_prediction(work, work.look())) if work else _missing(name)
        case ["v1", "predictions", name, "cancel"]:
            work = jobs.find(name)
            if work is None:
                return _missing(name)
            work.cancelled = True
            return answered(_prediction(work, "cancelled"))
        case ["v1", "models", owner, name, "predictions"]:
            model = f"{owner}/{name}"
        case _:
            model = str(arrival.json().get("version", ""))
    asked = within(arrival.json(), "input")
    waits = arrival.headers.get("prefer", "").startswith("wait")
    if "audio" in asked:
        made: JSON = {"transcription": results.SPEECH}
        kind = "text"
    else:
        kind, made = jobs.file(model, asked, "text-to-speech" if "text" in asked else "text-to-image")
        made = [made] if kind == "image" else made
    work = jobs.begin(model, made, LOOKS if kind == "video" or not waits else 0)
    return answered(_prediction(work, work.look() if work.looks == 0 else "queued"), 201)


def _prediction(work: Work, state: State) -> JSON:
    status = {"queued": "starting", "running": "processing", "done": "succeeded", "cancelled": "canceled"}
    here = f"https://api.replicate.com/v1/predictions/{work.id}"
    said: dict[str, Any] = {"id": work.id, "model": work.model, "status": status.get(state, state), "output": None}
    said |= {"version": "sandbox", "input": {}, "created_at": "2023-11-14T22:13:20Z", "data_removed": False}
    said |= {"urls": {"get": here, "cancel": f"{here}/cancel"}, "error": FAILED if state == "failed" else None}
    return {**said, "logs": "Working on it.", **({"output": work.made} if state == "done" else {})}


def _wavespeed(jobs: Jobs, arrival: Arrival) -> Answer:
    match arrival.segments:
        case ["api", "v3", "predictions", name, *_]:
            work = jobs.find(name)
            if work is None:
                return _missing(name)
            work.cancelled = work.cancelled or arrival.method == "DELETE"
            return answered(_wavespeed_task(work, work.look()))
        case ["api", "v3", *model]:
            named = "/".join(model)
            work = jobs.begin(named, jobs.file(named, arrival.json(), "text-to-image")[1])
            return answered(_wavespeed_task(work, "queued"))
        case _:
            return refused(404, "Not found")


def _wavespeed_task(work: Work, state: State) -> JSON:
    status = {"queued": "created", "running": "processing", "done": "completed"}.get(state, state)
    url = f"https://api.wavespeed.ai/api/v3/predictions/{work.id}/result"
    data: dict[str, Any] = {"id": work.id, "model": work.model, "status": status, "urls": {"get": url}, "outputs": []}
    data |= {"outputs": [work.made]} if state == "done" else {}
    data |= {"error": FAILED} if status == "failed" else {"error": ""}
    return {"code": 200, "message": "success", "data": data}


def _zai(jobs: Jobs, arrival: Arrival) -> Answer | None:
    match arrival.segments:
        case ["api", "paas", "v4", "async", "images", "generations"]:
            asked = arrival.json()
            begun = jobs.begin(str(asked.get("model")), jobs.file("", asked, "text-to-image")[1])
            return answered({"id": begun.id, "request_id": begun.id, "task_status": "PROCESSING"})
        case ["api", "paas", "v4", "async-result", name]:
            work = jobs.find(name)
            if work is None:
                return _missing(name)
            state = work.look()
            status = {"queued": "PROCESSING", "running": "PROCESSING", "done": "SUCCESS"}.get(state, "FAIL")
            made = {"image_result": [{"url": work.made}]} if state == "done" else {}
            return answered({"id": name, "task_status": status, **made})
        case ["api", "paas", "v4", "layout_parsing"]:
            return answered({"id": "layout-1", "md_results": f"# Page\n\n{results.CAPTION}"})
        case _:
            return None


def _together(jobs: Jobs, arrival: Arrival) -> Answer | None:
    match arrival.segments:
        case ["v2", "videos"]:
            asked = arrival.json()
            video = jobs.keep(media.mp4(str(asked.get("prompt"))), "video/mp4")
            begun = jobs.begin(str(asked.get("model")), video)
            return answered({"id": begun.id, "object": "video", "status": "queued"})
        case ["v2", "videos", name]:
            work = jobs.find(name)
            if work is None:
                return _missing(name)
            state = work.look()
            status = {"running": "in_progress", "done": "completed"}.get(state, state)
            said: dict[str, Any] = {"id": name, "status": status}
            said |= {"outputs": {"video_url": work.made}} if state == "done" else {}
            return answered(said | ({"error": {"message": FAILED}} if state == "failed" else {}))
        case _:
            return None


def _novita(jobs: Jobs, arrival: Arrival) -> Answer | None:
    asked = arrival.json()
    match arrival.segments:
        case ["v3", "async", "task-result"]:
            return _novita_task(jobs, arrival.query.get("task_id", ""))
        case ["v3", "minimax", "v2", "query", "video_generation", name]:
            return _minimax_task(jobs, name)
        case ["v3", "async", *_] | ["v3", "minimax", "v2", "video_generation"]:
            video = jobs.keep(media.mp4(str(asked.get("prompt") or asked.get("content"))), "video/mp4")
            return answered({"task_id": jobs.begin(str(asked.get("model") or arrival.segments[-1]), video).id})
        case _:
            return None


def _novita_task(jobs: Jobs, name: str) -> Answer:
    work = jobs.find(name)
    if work is None:
        return _missing(name)
    state = work.look()
    word = {"queued": "QUEUED", "running": "PROCESSING", "done": "SUCCEED"}.get(state, "FAILED")
    task: dict[str, Any] = {"task_id": name, "status": f"TASK_STATUS_{word}", "reason": ""}
    task |= {"reason": FAILED} if word == "FAILED" else {"progress_percent": 50 if state == "running" else 0}
    return answered({"task": task, "videos": [{"video_url": work.made}] if state == "done" else []})


def _minimax_task(jobs: Jobs, name: str) -> Answer:
    """Of the one model at Novita that has a protocol of its own."""
    work = jobs.find(name)
    if work is None:
        return _missing(name)
    state = work.look()
    task: dict[str, Any] = {"id": name, "status": {"done": "succeeded"}.get(state, state)}
    task |= {"content": {"url": work.made}} if state == "done" else {}
    return answered({"task": task | ({"error": {"message": FAILED}} if state == "failed" else {})})


def _black_forest_labs(jobs: Jobs, arrival: Arrival) -> Answer:
    match arrival.segments:
        case ["v1", "get_result"]:
            name = arrival.query.get("id", "")
            work = jobs.find(name)
            if work is None:
                return answered({"id": name, "status": "Task not found", "result": None, "progress": None})
            state = work.look()
            status = {"queued": "Pending", "running": "Pending", "done": "Ready"}.get(state, "Error")
            made = {"sample": work.made} if state == "done" else None
            progress = {"queued": 0.0, "running": 0.5}.get(state, 1.0)
            return answered({"id": name, "status": status, "result": made, "progress": progress})
        case _:
            work = jobs.begin("/".join(arrival.segments[1:]), jobs.file("", arrival.json(), "text-to-image")[1])
            return answered({"id": work.id, "polling_url": f"https://{arrival.host}/v1/get_result?id={work.id}"})


_PROTOCOLS: Mapping[str, Callable[[Jobs, Arrival], Answer | None]] = {
    "black-forest-labs": _black_forest_labs,
    "fal-ai": _fal,
    "novita": _novita,
    "replicate": _replicate,
    "together": _together,
    "wavespeed": _wavespeed,
    "zai-org": _zai,
}
