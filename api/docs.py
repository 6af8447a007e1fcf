"""The OpenAPI document, and /docs: the same as one page for people, with nothing of other hosts."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, Response, render_template
from flask_smorest import Api
from markupsafe import Markup, escape

from api.answers import unless_known
from api.intake import JSON
from api.openapi_document import PATH
from api.problems import PROBLEMS
from pipeline.refusal import CODES

TEMPLATES = str(Path(__file__).parent / "templates")
METHODS = ("get", "post", "patch", "put", "delete")
# The page brings its own style and nothing else.
CONTENT_SECURITY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

# A body that fits into a line of the page is shown in one.
LINE_MAX = 70

CODE = re.compile(r"`([^`]+)`")


def register(app: Flask, api: Api) -> None:
    """Serve both. They do not change while the process lives, and are made once: each takes 0.1 s
    of the one process that has operations to take in."""
    app.add_template_filter(prose)
    app.add_template_filter(type_of)

    @lru_cache(maxsize=1)
    def written() -> bytes:
        return orjson.dumps(api.spec.to_dict(), option=orjson.OPT_INDENT_2)

    @lru_cache(maxsize=1)
    def made() -> str:
        spec = api.spec.to_dict()
        return render_template(
            "docs.html",
            spec=spec,
            sections=[(tag, list(_routes(spec, tag["name"]))) for tag in spec["tags"]],
            problems=PROBLEMS,
            rejections=CODES,
        )

    @app.get(PATH)
    def document() -> Response:
        return unless_known(Response(written(), content_type=JSON))

    @app.get("/docs")
    def docs() -> Response:
        page = Response(made(), content_type="text/html; charset=utf-8")
        page.headers["Content-Security-Policy"] = CONTENT_SECURITY
        return page


def prose(text: str) -> Markup:
    """Paragraphs, and what stands in backticks as code."""
    paragraphs = [CODE.sub(r"<code>\1</code>", str(escape(one))) for one in text.split("\n\n")]
    return Markup("".join(f"<p>{one}</p>" for one in paragraphs))  # noqa: S704 - escaped above


def type_of(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "oneOf" in schema:
        return " or ".join(map(type_of, schema["oneOf"]))
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    types = schema.get("type", "any")
    words = [types] if isinstance(types, str) else list(types)
    if "array" in words:
        return f"array of {type_of(schema.get('items', {}))}"
    return " or ".join(words)


def _routes(spec: Mapping[str, Any], tag: str) -> Iterator[dict[str, Any]]:
    """What the page shows of each route of a section."""
    for path, item in spec["paths"].items():
        for method in METHODS:
            route = item.get(method)
            if route is None or tag not in route["tags"]:
                continue
            parameters = [*item.get("parameters", ()), *route.get("parameters", ())]
            yield {
                "anchor": f"{method}-{re.sub('[^a-z]+', '-', path).strip('-')}",
                "method": method.upper(),
                "path": path,
                "route": route,
                "parameters": parameters,
                "examples": _examples(path, method, route, parameters),
            }


def _examples(
    path: str, method: str, route: Mapping[str, Any], parameters: list[dict[str, Any]]
) -> list[tuple[str, str]]:
    """Commands to try, by name: one for each example of a body."""
    content = route.get("requestBody", {}).get("content", {}).get(JSON, {})
    if "examples" in content:
        return [
            (name, _curl(path, method, route, parameters, example["value"]))
            for name, example in content["examples"].items()
        ]
    return [("", _curl(path, method, route, parameters, content.get("example")))]


def _curl(
    path: str, method: str, route: Mapping[str, Any], parameters: list[dict[str, Any]], body: Any
) -> str:
    for one in parameters:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", str(one["example"]))
    lines = [f"curl -s $TRIDENT_URL{path}"]
    if route.get("security") != []:
        lines.append('-H "Authorization: Bearer $TRIDENT_TOKEN"')
    for one in parameters:
        if one["in"] == "header":
            lines.append(f"-H '{one['name']}: {one['example']}'")
    if method not in ("get", "post") or (method == "post" and body is None):
        lines[0] = lines[0].replace("curl -s", f"curl -s -X {method.upper()}")
    if body is not None:
        text = json.dumps(body)
        if len(text) > LINE_MAX:
            text = json.dumps(body, indent=2)
        lines += [f"-H 'Content-Type: {JSON}'", f"-d '{text}'"]
    return " \\\n  ".join(lines)
