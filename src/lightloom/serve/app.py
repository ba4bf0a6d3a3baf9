"""The front: addresses, and what is answered at each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse

from lightloom.predict.web import Choice, Refused, options_of
from lightloom.serve import label_studio, live, pages
from lightloom.serve.bodies import MOST_PICTURE, Budget, chunks, picture
from lightloom.serve.films import Films, shown
from lightloom.serve.inference import PICTURE, Inference
from lightloom.serve.measures import Measures
from lightloom.serve.messages import Ask
from lightloom.serve.models import Models
from lightloom.serve.refusals import of_status, response_of, wants_page

log = logging.getLogger("lightloom")
API = "/api/v1"
STATIC = {"page.js": "text/javascript", "style.css": "text/css"}
DRAIN = 5.0  # seconds in which those who wait are answered, at the end
ERROR = {
    "description": "Refused, or failed",
    "content": {"application/json": {"example": {"error": {"code": "no_picture", "message": "...", "request": "..."}}}},
}


def front(cfg: Mapping[str, Any], models: Models) -> FastAPI:
    """All addresses. cfg: of serve.py, plain."""
    measures, budget = Measures(models), Budget()
    place = Path(cfg["paths"]["log_dir"], "serve", "films")
    films = Films(place, models, int(cfg["most_films"]), float(cfg["keep_hours"]))
    measures.films.set_function(films.open_jobs)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        models.begin()
        work = asyncio.create_task(films.work())
        yield
        films.close()
        await models.drain(DRAIN)
        work.cancel()

    app = FastAPI(
        title="lightloom", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, responses={"4XX": ERROR}
    )
    app.state.measures, app.state.models = measures, models
    _add_handlers(app, measures)
    _add_state(app, models, measures)
    _add_pages(app, models)
    _add_films(app, models, films)
    _add_label_studio(app, models, budget, cfg["label_studio"])

    @app.get(f"{API}/models", summary="The models, the newest first; of those that are loaded, what they can be asked")
    async def every() -> dict[str, Any]:
        return {"models": list((await asyncio.to_thread(models.all)).values())}

    @app.post(f"{API}/predict", summary="What a model finds in one input", openapi_extra=_openapi(models))
    async def predict(request: Request) -> JSONResponse:
        with budget.share() as sizes:
            body = await picture(request, budget, sizes)
            async with models.using(request.query_params.get("model")) as inference:
                what, options = asked(inference, request.query_params)
                return JSONResponse(await inference.ask(Ask(what, body, options), PICTURE))

    @app.websocket(f"{API}/live")
    async def camera(socket: WebSocket) -> None:
        await live.serve(socket, models, measures, int(cfg["most_live"]))

    return app


def asked(inference: Inference, query: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The capability that a query names, or the first, and its options."""
    fields = inference.hello.fields
    what = query.get("what") or next(iter(fields))
    if what not in fields:
        raise Refused(404, "no_such_thing", f"The model can do {', '.join(fields)}; what= is none of these.")
    return what, options_of(fields[what], {name: text for name, text in query.items() if name not in ("model", "what")})


def _add_handlers(app: FastAPI, measures: Measures) -> None:
    """Each error as JSON, each answer counted."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return response_of(error, request.scope["request_id"], wants_page(request.method, request.headers))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return response_of(of_status(error.status_code), request.scope["request_id"])

    @app.middleware("http")
    async def counted(request: Request, call_next: Any) -> Response:
        """Its status and its seconds, by the route's pattern and not by the path that was asked for."""
        started = time.monotonic()
        try:
            response: Response = await call_next(request)
        except Exception:  # a fault of the program: it is logged, told as 500, and ends no other request
            log.exception("request %s failed", request.scope["request_id"])
            failed = Refused(500, "failed", "The server failed over this; its log says why.")
            response = response_of(failed, request.scope["request_id"])
        route = getattr(request.scope.get("route"), "path", "none")
        measures.requests.labels(route, str(response.status_code)).inc()
        measures.latency.labels(route).observe(time.monotonic() - started)
        return response


def _add_state(app: FastAPI, models: Models, measures: Measures) -> None:
    @app.get("/health", summary="Is the front there?")
    async def health() -> dict[str, str]:
        return {"status": "UP"}

    @app.get("/ready", summary="Are the models there that are loaded?")
    async def ready() -> dict[str, str]:
        if not models.is_ready:
            raise Refused(503, "not_ready", "The model is being loaded.")
        return {"status": "ready"}

    @app.get("/metrics", summary="Prometheus's text")
    async def metrics() -> Response:
        return Response(measures.text(), media_type="text/plain; version=0.0.4")


def _add_pages(app: FastAPI, models: Models) -> None:
    files = {name: (pages.FOLDER / name).read_bytes() for name in STATIC}

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        language = pages.language(request.query_params.get("lang"), request.headers.get("accept-language", ""))
        name = request.query_params.get("model") or models.first
        async with models.using(name) as inference:
            known = await asyncio.to_thread(models.all)
            return HTMLResponse(pages.page(name, inference.hello.model, known, language))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(pages.docs(app.openapi()))

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in files:
            raise Refused(404, "not_found", "There is nothing at this address.")
        return Response(files[name], media_type=STATIC[name])


def _add_films(app: FastAPI, models: Models, films: Films) -> None:
    @app.post(f"{API}/jobs", status_code=202, summary="Work on a film", openapi_extra=_openapi(models))
    async def take(request: Request) -> dict[str, Any]:
        name = request.query_params.get("model") or models.first
        async with models.using(name) as inference:
            what, options = asked(inference, request.query_params)
            if not inference.hello.model["able"][what]["streams"]:
                raise Refused(422, "no_films", "The model does not follow films; send single pictures.")
        return shown(await films.take(request, name, what, options))

    @app.get(f"{API}/jobs", summary="All films that are kept")
    async def jobs() -> dict[str, Any]:
        return {"jobs": [shown(job) for job in films.jobs.values()]}

    @app.get(f"{API}/jobs/{{job}}", summary="How far a film is")
    async def state(job: str) -> dict[str, Any]:
        return shown(films.get(job))

    @app.get(f"{API}/jobs/{{job}}/events", summary="The same, each time that it changes: server-sent events")
    async def events(job: str) -> Response:
        return StreamingResponse(films.progress(films.get(job)), media_type="text/event-stream")

    @app.get(f"{API}/jobs/{{job}}/film.{{end}}", summary="What was made of a film: mp4, csv, txt (MOT)")
    async def made(job: str, end: str) -> Response:
        return FileResponse(films.file(films.get(job), end))

    @app.delete(f"{API}/jobs/{{job}}", status_code=204, summary="End a film, and delete what was made of it")
    async def cancel(job: str) -> Response:
        films.cancel(films.get(job))
        return Response(status_code=204)


def _add_label_studio(app: FastAPI, models: Models, budget: Budget, home: str | None) -> None:
    """The addresses that Label Studio asks of a backend."""

    @app.post("/setup", summary="Label Studio: which model is it?")
    async def setup(request: Request) -> dict[str, str]:
        async for _ in chunks(request, MOST_PICTURE):
            pass
        return {"model_version": models.first}

    @app.post("/predict", summary="Label Studio: predictions for its tasks")
    async def tasks(request: Request) -> dict[str, Any]:
        """A prediction for each task of the request, in order, in the terms of the project's controls."""
        results = []
        with budget.share() as sizes:
            given, controls = label_studio.read(await picture(request, budget, sizes))
            async with models.using() as inference:
                what, options = asked(inference, {})
                for task in given:
                    body = await label_studio.picture(task, home)
                    answer = await inference.ask(Ask(what, body, options), PICTURE)
                    results.append(label_studio.result(answer, controls, models.first))
        return {"results": results}


def _openapi(models: Models) -> dict[str, Any]:
    """The parameters and the body of a prediction, as the first model has them."""
    fields = models.loaded[models.first].hello.fields
    parameters = [_parameter("model", {"type": "string", "default": models.first}, "One of /api/v1/models.")]
    parameters += [_parameter("what", {"type": "string", "enum": list(fields)}, "What to do; null is the first.")]
    for what, own in fields.items():
        for field in own:
            if isinstance(field, Choice):
                schema: dict[str, Any] = {"type": "string", "enum": list(field.choices), "default": field.default}
            else:
                schema = {
                    "type": "number",
                    "minimum": field.low,
                    "maximum": field.high,
                    "default": field.default,
                }
            parameters.append(_parameter(field.name, schema, f"{field.words['en']} ({what})"))
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {"parameters": parameters, "requestBody": {"content": content, "description": "The bytes of a picture."}}


def _parameter(name: str, schema: Mapping[str, Any], words: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": words}
