"""What every page of this package is: one file that asks nothing of the network."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import vl_convert
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from vicinal.report.words.glossary import glossary


def shown_settings(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    """Settings as they are shown: without those that are not set."""
    pairs = [
        (key, ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value)
        for key, value in settings.items()
    ]
    return [(key, str(value)) for key, value in pairs if value not in (None, "")]


def document(template: str, *, specs: Sequence[Any], whole: Any, **values: Any) -> str:
    """A page from a template; its values are shown as text, never read as markup.

    Args:
        template: name of a file of this package.
        specs: of the panels, in the order of the page.
        whole: all numbers of the page, which a reader can take from it as JSON.
        values: what the template needs.
    """
    scripts = (Markup(_vega()), Markup(text_of("page.js.jinja")))  # our own files, not input
    return (
        _environment()
        .get_template(template)
        .render(
            policy=_policy(scripts),
            style=Markup(text_of("page.css.jinja")),
            scripts=scripts,
            specs=Markup(_json(specs)),
            whole=Markup(_json(whole)),
            **values,
        )
    )


def text_of(name: str) -> str:
    """A file of this package."""
    return files("vicinal.report.pages").joinpath(name).read_text(encoding="utf-8")


def _environment() -> Environment:
    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(text_of),
    )
    made.globals["glossary"] = glossary
    return made


def _json(value: Any) -> str:
    """JSON that no HTML parser can leave: no `<`, `>` or `&` in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: Sequence[str]) -> str:
    """A policy that lets these two scripts run and nothing be fetched."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # the only sequences that change how a browser reads a script element
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
