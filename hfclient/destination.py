"""Where a request goes, and all that goes with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from hfclient.call import Timeout
from hfclient.credentials import Key
from hfclient.errors import HFClientError
from hfclient.flow import Request
from hfclient.redact import Redactor, safe_headers
from hfclient.retry import Retry

PATIENCE = 600.0


def _no_matter(error: HFClientError, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Destination:
    """Where requests go, what goes with them, and how long to wait and to persist."""

    provider: str
    base_url: str = field(repr=False)  # in its query there may be a key, as in the headers and the query below
    key: Key | None = None
    timeout: Timeout = Timeout()  # noqa: RUF009  frozen
    model: str | None = None
    task: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    query: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    url_of: Callable[[str], str] | None = None
    retry: Retry = Retry()  # noqa: RUF009  frozen
    patience: float = PATIENCE
    before_pause: Callable[[HFClientError, float], None] = _no_matter
    redact: Redactor = Redactor()  # noqa: RUF009  frozen

    @property
    def whom(self) -> str:
        """Who is asked, as it reads within a sentence."""
        match self.provider:
            case "auto":
                return "the router"
            case "endpoint":
                return urlsplit(self.base_url).netloc
            case name:
                return name

    @property
    def who(self) -> str:
        """Who is asked, as it reads at the beginning of a sentence."""
        return f"T{self.whom[1:]}" if self.whom.startswith("the ") else self.whom

    def url(self, request: Request) -> str:
        if request.url is not None:
            return request.url
        return self.url_of(request.path) if self.url_of else self.base_url + request.path

    def redactor(self) -> Redactor:
        """One that knows every secret that may have travelled with a request to here."""
        return self.redact.adding(*self._secrets())

    def _secrets(self) -> list[str]:
        secrets = [value for name, value in self.headers.items() if safe_headers({name: value})[name] != value]
        if self.key:
            secrets.append(self.key.secret.reveal())
        secrets += [value for _, value in parse_qsl(urlsplit(self.base_url).query)]
        return [*secrets, *self.query.values()]

    def public(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """An answer's headers as they may be shown: without cookies, and without a key that was sent back to us."""
        shown = safe_headers(headers)
        secrets = self._secrets()
        if any(secret in value for secret in secrets if secret for value in shown.values()):
            redact = self.redactor()
            return {name: redact(value) for name, value in shown.items()}
        return shown
