"""One user of the site: a cookie jar, a CSRF token, a request id for every request, an entry in the ledger for every answer."""

import http.client
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from demo.ledger import Effect, Exchange, Ledger

TIMEOUT_S = 60


@dataclass(frozen=True)
class Answer:
    """What the site answered."""

    request_id: str
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)


class Client:
    """Sends requests as one user. Used by one thread."""

    def __init__(self, address: tuple[str, int], ledger: Ledger) -> None:
        self.address = address
        self.ledger = ledger
        self.cookies: dict[str, str] = {}
        self.headers: dict[str, str] = {}

    def call(
        self,
        method: str,
        path: str,
        body: dict | None = None,
        *,
        expect: int,
        effects: Sequence[Effect] = (),
        created: str | None = None,
        verbs: Sequence[str] = ("create",),
        auth: tuple[str, str] | None = None,
        reason: str | None = None,
    ) -> Answer:
        """Sends JSON. ``effects`` and ``auth``: what an answer with the expected status means. ``reason``: why, as a header.

        ``created``: the type of the object whose id the answer carries, ``verbs`` what was done to it.
        """
        encoded = None if body is None else json.dumps(body).encode()
        answer = self._send(method, path, encoded, "application/json", None if reason is None else {"X-Audit-Reason": reason})
        done = list(effects)
        if answer.status == expect and created:
            done += [Effect(verb, created, str(answer.json()["id"])) for verb in verbs]
        self._write_down(method, path, answer, expect, done, auth)
        return answer

    def submit(
        self,
        path: str,
        form: dict[str, str | list[str]],
        *,
        expect: int,
        effects: Sequence[Effect] = (),
        created: str | None = None,
        verbs: Sequence[str] = ("create",),
        auth: tuple[str, str] | None = None,
    ) -> Answer:
        """Sends a form as the admin's pages do. An object that it created is named by the redirect."""
        form = {**form, "csrfmiddlewaretoken": self.cookies.get("csrftoken", "")}
        answer = self._send("POST", path, urlencode(form, doseq=True).encode(), "application/x-www-form-urlencoded")
        done = list(effects)
        if answer.status == expect and created:
            done += [Effect(verb, created, answer.headers["Location"].rstrip("/").split("/")[-2]) for verb in verbs]
        self._write_down("POST", path, answer, expect, done, auth)
        return answer

    def _send(self, method: str, path: str, body: bytes | None, content_type: str, more: Mapping[str, str] | None = None) -> Answer:
        sent = str(uuid.uuid4())
        headers = {"X-Request-ID": sent, "User-Agent": "clinic-demo/1.0", "Accept": "application/json", **self.headers, **(more or {})}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            headers["X-CSRFToken"] = self.cookies.get("csrftoken", "")
        if body is not None:
            headers["Content-Type"] = content_type
        connection = http.client.HTTPConnection(*self.address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = Answer(sent, response.status, response.headers, response.read())
        finally:
            connection.close()
        self._keep_cookies(answer)
        if answer.headers["X-Request-ID"] != sent:
            self.ledger.fault(f"{method} {path}: request id {sent} came back as {answer.headers['X-Request-ID']}")
        return answer

    def _keep_cookies(self, answer: Answer) -> None:
        for header in answer.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(header).items():
                self.cookies[name] = morsel.value

    def _write_down(
        self,
        method: str,
        path: str,
        answer: Answer,
        expect: int,
        effects: Sequence[Effect],
        auth: tuple[str, str] | None,
    ) -> None:
        if answer.status != expect:
            self.ledger.fault(f"{method} {path}: {answer.status}, expected {expect}: {answer.body[:200]!r}")
        exchange = Exchange(answer.request_id, method, path, answer.status, tuple(effects), auth)
        self.ledger.add(exchange)
