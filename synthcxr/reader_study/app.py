"""The pages of a study: one static page and the few questions that it asks, all about the reader who entered."""

from __future__ import annotations

import dataclasses
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.reader_study import access_codes, answer, public_files, teaching
from synthcxr.reader_study.answer_store import Answers, Conflict, Held
from synthcxr.reader_study.public_files import Reader, Served, Shown
from synthcxr.reader_study.request_guard import Attempts, Guard, Origins

COOKIE = "reader"
_PAGE = Path(__file__).parent / "page"
_ASSETS = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/viewer.js": ("viewer.js", "text/javascript"),
}
_LONGEST_CODE = 64


class Refused(Exception):
    """A request that is answered with a status and a few words."""

    def __init__(self, status: int, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status, self.why, self.headers = status, why, headers


def make(
    study: Path,
    shown: Served,
    database: Answers,
    *,
    origins: Origins,
    taught: Mapping[str, teaching.Lesson] | None,
    key: Path,
) -> Guard:
    """The application of one study; with `taught` it teaches, and shows the images of `key` after an answer."""
    held = _Study(study, shown, database, taught, key, Attempts(), secure=origins.secure)
    routes = [Route(path, _asset(*file)) for path, file in _ASSETS.items()]
    routes += [
        Route("/favicon.ico", lambda _: Response(status_code=204)),
        Route("/api/enter", _answered(held.enter), methods=["POST"]),
        Route("/api/leave", _answered(held.leave), methods=["POST"]),
        Route("/api/session", _answered(held.session)),
        Route("/api/cases/{position:int}", _answered(held.case)),
        Route("/api/cases/{position:int}", _answered(held.save), methods=["PUT"]),
        Route("/api/cases/{position:int}/images/{at:int}", _answered(held.image)),
        Route("/api/cases/{position:int}/alike/{at:int}", _answered(held.alike)),
    ]
    return Guard(Starlette(routes=routes), origins)


def _asset(name: str, kind: str) -> Callable[[Request], Response]:
    def file(_: Request) -> Response:
        return FileResponse(_PAGE / name, media_type=kind)

    return file


def _answered(endpoint: Callable[[Request, Any], Response]) -> Callable[[Request], Any]:
    """An endpoint that is given its JSON and runs in a thread, and whose refusals become replies."""
    from starlette.concurrency import run_in_threadpool

    async def handler(request: Request) -> Response:
        try:
            body = json.loads(await request.body() or b"null")
        except (ValueError, RecursionError):
            return JSONResponse({"error": "not JSON"}, 400)
        try:
            return await run_in_threadpool(endpoint, request, body)
        except Refused as refused:
            return JSONResponse({"error": refused.why}, refused.status, headers=refused.headers)
        except DataError as error:
            return JSONResponse({"error": str(error)}, 400)
        except Conflict as conflict:
            return JSONResponse({"error": "answered in another window", **_held(conflict.held)}, 409)

    return handler


@dataclasses.dataclass(frozen=True)
class _Study:
    """The study that is served, and its endpoints."""

    folder: Path
    shown: Served
    answers: Answers
    taught: Mapping[str, teaching.Lesson] | None
    key: Path
    attempts: Attempts
    secure: bool

    def enter(self, request: Request, body: Any) -> Response:
        """Start a session by a reader's code."""
        address = request.client.host if request.client else ""
        wait_s = self.attempts.wait_s(address)
        if wait_s:
            raise Refused(429, f"too many wrong codes: wait {wait_s} seconds", **{"retry-after": str(wait_s)})
        code = body.get("code") if isinstance(body, dict) else None
        if not isinstance(code, str) or len(code) > _LONGEST_CODE:
            raise Refused(400, "no code was given")
        given = access_codes.digest(code)
        reader = next((r for r in self.shown.readers if hmac.compare_digest(r.code, given)), None)
        if reader is None:
            self.attempts.fail(address)
            raise Refused(403, "this code is not known here")
        reply = Response(status_code=204)
        token = self.answers.enter(reader.number)
        reply.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=self.secure, path="/")
        return reply

    def leave(self, request: Request, _: Any) -> Response:
        """End the session."""
        self.answers.leave(request.cookies.get(COOKIE, ""))
        reply = Response(status_code=204)
        reply.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=self.secure)
        return reply

    def session(self, request: Request, _: Any) -> Response:
        """What the page needs to begin, or to go on where the reader stopped."""
        reader = self._reader(request)
        return JSONResponse({
            "title": self.shown.title,
            "reader": reader.number,
            "teach": self.taught is not None,
            "findings": FINDINGS,
            "n": len(reader.cases),
            "n_practice": sum(case.practice for case in reader.cases),
            "next": self._next(reader),
        })  # fmt: skip

    def case(self, request: Request, _: Any) -> Response:
        """One screen: what it asks, and what stands."""
        reader, position, case = self._case(request, ahead=0)
        held = self.answers.get(reader.number, position)
        asked = {"position": position, "pair": case.pair, "practice": case.practice, "finding": case.finding}
        return JSONResponse(asked | _held(held) | self._revealed(case, held is not None))

    def save(self, request: Request, body: Any) -> Response:
        """Keep an answer; the reply is sent when it is on disk."""
        reader, position, case = self._case(request, ahead=0)
        version = self.answers.save(reader.number, position, answer.save(body, pair=case.pair))
        return JSONResponse({"version": version, "next": self._next(reader)} | self._revealed(case, answered=True))

    def image(self, request: Request, _: Any) -> Response:
        """The image of a screen, of the next one too, so that it is there in time."""
        _, _, case = self._case(request, ahead=1)
        at = request.path_params["at"]
        if at >= len(case.images):
            raise Refused(404, "no such image")
        return _png(public_files.image(self.folder, case.images[at]))

    def alike(self, request: Request, _: Any) -> Response:
        """In teaching, after the answer: an image like the one of the screen."""
        reader, position, case = self._case(request, ahead=0)
        lesson = None if self.taught is None else self.taught.get(case.images[0])
        at = request.path_params["at"]
        if lesson is None or at >= len(lesson.alike) or self.answers.get(reader.number, position) is None:
            raise Refused(404, "no such image")
        return _png(public_files.plain_file(self.key / teaching.IMAGES, lesson.alike[at]))

    def _reader(self, request: Request) -> Reader:
        number = self.answers.reader_of(request.cookies.get(COOKIE, ""))
        reader = next((reader for reader in self.shown.readers if reader.number == number), None)
        if reader is None:
            raise Refused(401, "enter your code")
        return reader

    def _next(self, reader: Reader) -> int:
        """The first screen without an answer, or their number."""
        answered = self.answers.versions(reader.number)
        return next((at for at in range(len(reader.cases)) if at not in answered), len(reader.cases))

    def _case(self, request: Request, *, ahead: int) -> tuple[Reader, int, Shown]:
        """The screen that is asked for, not beyond the next one by more than `ahead`."""
        reader, position = self._reader(request), request.path_params["position"]
        if position >= len(reader.cases) or position > self._next(reader) + ahead:
            raise Refused(404, "not yet")
        return reader, position, reader.cases[position]

    def _revealed(self, case: Shown, answered: bool) -> dict[str, Any]:
        """In teaching, what the classifier says, once the reader has said it."""
        lesson = self.taught.get(case.images[0]) if self.taught is not None and answered else None
        if lesson is None:
            return {}
        said = {"classifier": dict(lesson.classifier), "present": lesson.present, "finding": lesson.finding}
        return {"lesson": said | {"n_alike": len(lesson.alike)}}


def _held(held: Held | None) -> dict[str, Any]:
    if held is None:
        return {"version": 0, "answer": None}
    return {"version": held.version, "answer": dataclasses.asdict(held.answer)}


def _png(path: Path) -> Response:
    """An image without date, tag or name: nothing but its bytes tells it from another."""
    return Response(path.read_bytes(), media_type="image/png")
