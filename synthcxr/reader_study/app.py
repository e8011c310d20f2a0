"""The web application of a study: the static page, and the JSON requests that it sends for the reader who logged in."""

from __future__ import annotations

import dataclasses
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.reader_study.access_codes import FailedAttempts, compute_code_digest, get_code_group
from synthcxr.reader_study.answer import parse_save_request
from synthcxr.reader_study.answer_store import AnswerConflict, AnswerStore, StoredAnswer
from synthcxr.reader_study.public_files import (
    ServedReader,
    ServedScreen,
    ServedStudy,
    resolve_image,
    resolve_study_image,
)
from synthcxr.reader_study.request_guard import Origins, RequestGuard
from synthcxr.reader_study.teaching import LESSON_IMAGES_FOLDER, Lesson

SESSION_COOKIE = "reader"
_PAGE_FOLDER = Path(__file__).parent / "page"
_ASSETS = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/viewer.js": ("viewer.js", "text/javascript"),
}
_MAX_CODE_LENGTH = 64

Endpoint = Callable[[Request, Any], Response]


class RequestRejected(Exception):
    """A request that is answered with an error status and a reason."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


def build_app(
    folder: Path,
    study: ServedStudy,
    answers: AnswerStore,
    *,
    origins: Origins,
    lessons: Mapping[str, Lesson] | None,
    key_folder: Path,
) -> RequestGuard:
    """Build the application of the study in `folder`.

    With `lessons` it is in teach mode: after an answer it also sends the lesson, with images from `key_folder`.
    """
    study_app = _StudyApp(folder, study, answers, lessons, key_folder, FailedAttempts(), secure=origins.use_tls)
    routes = [
        *(Route(path, _serve_asset(*asset)) for path, asset in _ASSETS.items()),
        Route("/favicon.ico", lambda _: Response(status_code=204)),
        Route("/api/enter", _to_handler(study_app.log_in), methods=["POST"]),
        Route("/api/leave", _to_handler(study_app.log_out), methods=["POST"]),
        Route("/api/session", _to_handler(study_app.get_session)),
        Route("/api/cases/{position:int}", _to_handler(study_app.get_screen)),
        Route("/api/cases/{position:int}", _to_handler(study_app.save_answer), methods=["PUT"]),
        Route("/api/cases/{position:int}/images/{index:int}", _to_handler(study_app.get_image)),
        Route("/api/cases/{position:int}/alike/{index:int}", _to_handler(study_app.get_similar_image)),
    ]
    return RequestGuard(Starlette(routes=routes), origins)


def _serve_asset(file_name: str, media_type: str) -> Callable[[Request], Response]:
    def serve(_: Request) -> Response:
        return FileResponse(_PAGE_FOLDER / file_name, media_type=media_type)

    return serve


def _to_handler(endpoint: Endpoint) -> Callable[[Request], Any]:
    """Wrap an endpoint: parse the JSON body, run the endpoint in a thread, and turn its exceptions into replies."""

    async def handle(request: Request) -> Response:
        try:
            body = json.loads(await request.body() or b"null")
        except (ValueError, RecursionError):
            return JSONResponse({"error": "the request is not JSON"}, 400)
        try:
            return await run_in_threadpool(endpoint, request, body)
        except RequestRejected as rejection:
            return JSONResponse({"error": rejection.reason}, rejection.status, headers=rejection.headers)
        except DataError as error:
            return JSONResponse({"error": str(error)}, 400)
        except AnswerConflict as conflict:
            return JSONResponse({"error": str(conflict), **_answer_fields(conflict.stored)}, 409)

    return handle


@dataclasses.dataclass(frozen=True)
class _StudyApp:
    """The endpoints of one study."""

    folder: Path
    study: ServedStudy
    answers: AnswerStore
    lessons: Mapping[str, Lesson] | None
    key_folder: Path
    attempts: FailedAttempts
    secure: bool

    def log_in(self, request: Request, body: Any) -> Response:
        """Start a session for the reader with this access code."""
        address = request.client.host if request.client else ""
        code = body.get("code") if isinstance(body, dict) else None
        if not isinstance(code, str) or len(code) > _MAX_CODE_LENGTH:
            raise RequestRejected(400, "enter your access code")
        guesser = f"{address} {get_code_group(code)}"
        self._reject_guesser(guesser)
        digest = compute_code_digest(code)
        reader = next((reader for reader in self.study.readers if hmac.compare_digest(reader.code, digest)), None)
        if reader is None:
            self._reject_guesser(address)
            self.attempts.record(address)
            self.attempts.record(guesser)
            raise RequestRejected(403, "unknown access code")
        response = Response(status_code=204)
        token = self.answers.start_session(reader.number)
        response.set_cookie(SESSION_COOKIE, token, httponly=True, samesite="strict", secure=self.secure, path="/")
        return response

    def _reject_guesser(self, guesser: str) -> None:
        wait_s = self.attempts.compute_wait_s(guesser)
        if wait_s:
            raise RequestRejected(429, f"too many wrong codes; wait {wait_s} seconds", **{"retry-after": str(wait_s)})

    def log_out(self, request: Request, _: Any) -> Response:
        """End the session."""
        self.answers.end_session(request.cookies.get(SESSION_COOKIE, ""))
        response = Response(status_code=204)
        response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict", secure=self.secure)
        return response

    def get_session(self, request: Request, _: Any) -> Response:
        """What the page needs to start, or to continue at the first screen without an answer."""
        reader = self._find_reader(request)
        return JSONResponse({
            "title": self.study.title,
            "reader": reader.number,
            "teach": self.lessons is not None,
            "findings": FINDINGS,
            "n": len(reader.cases),
            "n_practice": sum(screen.practice for screen in reader.cases),
            "next": self._find_next(reader),
        })  # fmt: skip

    def get_screen(self, request: Request, _: Any) -> Response:
        """One screen, and the stored answer to it."""
        reader, position, screen = self._find_screen(request, max_ahead=0)
        stored = self.answers.get(reader.number, position)
        fields = {
            "position": position,
            "pair": screen.is_pair,
            "practice": screen.practice,
            "finding": screen.finding,
        }
        return JSONResponse(fields | _answer_fields(stored) | self._lesson_fields(screen, answered=stored is not None))

    def save_answer(self, request: Request, body: Any) -> Response:
        """Store an answer. The reply is sent after the answer is on disk."""
        reader, position, screen = self._find_screen(request, max_ahead=0)
        save_request = parse_save_request(body, is_pair=screen.is_pair)
        fields = {
            "version": self.answers.save(reader.number, position, save_request),
            "next": self._find_next(reader),
        }
        return JSONResponse(fields | self._lesson_fields(screen, answered=True))

    def get_image(self, request: Request, _: Any) -> Response:
        """An image of a screen. The page fetches that of the next screen in advance."""
        _, _, screen = self._find_screen(request, max_ahead=1)
        index = request.path_params["index"]
        if index >= len(screen.images):
            raise RequestRejected(404, "no such image")
        return _send_png(resolve_study_image(self.folder, screen.images[index]))

    def get_similar_image(self, request: Request, _: Any) -> Response:
        """In teach mode, after the answer: an image that is similar to that of the screen."""
        reader, position, screen = self._find_screen(request, max_ahead=0)
        lesson = None if self.lessons is None else self.lessons.get(screen.images[0])
        index = request.path_params["index"]
        is_answered = self.answers.get(reader.number, position) is not None
        if lesson is None or index >= len(lesson.similar) or not is_answered:
            raise RequestRejected(404, "no such image")
        return _send_png(resolve_image(self.key_folder / LESSON_IMAGES_FOLDER, lesson.similar[index]))

    def _find_reader(self, request: Request) -> ServedReader:
        number = self.answers.find_reader(request.cookies.get(SESSION_COOKIE, ""))
        reader = next((reader for reader in self.study.readers if reader.number == number), None)
        if reader is None:
            raise RequestRejected(401, "enter your access code")
        return reader

    def _find_next(self, reader: ServedReader) -> int:
        """The position of the first screen without an answer; the number of screens if all have one."""
        versions = self.answers.get_versions(reader.number)
        n_screens = len(reader.cases)
        return next((position for position in range(n_screens) if position not in versions), n_screens)

    def _find_screen(self, request: Request, *, max_ahead: int) -> tuple[ServedReader, int, ServedScreen]:
        """The requested screen, if it is at most `max_ahead` screens after the first one without an answer."""
        reader, position = self._find_reader(request), request.path_params["position"]
        if position >= len(reader.cases) or position > self._find_next(reader) + max_ahead:
            raise RequestRejected(404, "this image is not available yet")
        return reader, position, reader.cases[position]

    def _lesson_fields(self, screen: ServedScreen, *, answered: bool) -> dict[str, Any]:
        """In teach mode, the lesson of a screen that has an answer."""
        lesson = self.lessons.get(screen.images[0]) if self.lessons is not None and answered else None
        if lesson is None:
            return {}
        return {
            "lesson": {
                "classifier": dict(lesson.probabilities),
                "present": lesson.present,
                "finding": lesson.finding,
                "n_alike": len(lesson.similar),
            }
        }


def _answer_fields(stored: StoredAnswer | None) -> dict[str, Any]:
    if stored is None:
        return {"version": 0, "answer": None}
    return {"version": stored.version, "answer": dataclasses.asdict(stored.answer)}


def _send_png(path: Path) -> Response:
    """An image without date, entity tag or file name, so that headers do not distinguish images."""
    return Response(path.read_bytes(), media_type="image/png")
