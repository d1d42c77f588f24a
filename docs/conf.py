"""How the documentation is built: `sphinx-build -W -n docs docs/_build`, without a request."""

import re
import sys
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

import vicinal  # noqa: E402

project = "vicinal"
author = "the contributors of vicinal"
copyright = "the contributors of vicinal, Apache-2.0"
version = release = vicinal.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["ref.python"]  # "Returns: x: …" is read as a type named x
default_role = "code"  # docstrings write `x` for code

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [
    "Source",
    "Sources",
    "Warns",
    ("Args of the call", "params_style"),
    ("Returns (when called with x, y, rng)", "returns_style"),
]
napoleon_use_ivar = True
napoleon_attr_annotations = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = "vicinal"
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_theme_options = {"sidebar_hide_name": False}
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"

# Types in signatures that have no page here: those of other libraries, and internal aliases.
nitpick_ignore_regex = [
    ("py:class", r"(?!vicinal\.).*"),
    ("py:obj", r"typing\..*"),
    ("py:class", r"vicinal\.machine\.typed\..*"),
]

LOGGER = logging.getLogger(__name__)
MATHML = "http://www.w3.org/1998/Math/MathML"
ElementTree.register_namespace("", MATHML)
ENTITY = re.compile(r"&(?!(?:lt|gt|amp|quot|apos);)\w+;")  # of HTML, which XML does not know
COLUMNS = re.compile(r"(?:^ +(?!>>>)\S.*(?:\n|\Z))+", re.MULTILINE)
MARKED = re.compile(
    r"(?P<doctest>^ *>>>.*$)|\$\$(?P<block>.+?)\$\$|(?<![\\$`\w])\$(?P<inline>[^$\n]+?)\$(?!\d)"
    r"|(?P<code>``[^`]+``|`[^`]+`)|(?P<sign>[|*])",
    re.DOTALL | re.MULTILINE,
)


def _formulas(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Docstrings write formulas as in Markdown; reStructuredText has roles, and reads |x|."""
    if "$" in MARKED.sub("", "\n".join(lines)):
        LOGGER.warning("%s: a formula between single dollars must stand on one line.", name)
    text = MARKED.sub(_marked, "\n".join(lines))
    lines[:] = COLUMNS.sub(_columns, text).split("\n")


def _columns(found: re.Match[str]) -> str:
    """A paragraph written in columns keeps its lines."""
    text = found[0]
    told = re.search(r"^ +(?!\.\. )\S+ {2,}\S", text, re.MULTILINE)
    return re.sub(r"^ +", r"\g<0>| ", text, flags=re.MULTILINE) if told else text


def _marked(found: re.Match[str]) -> str:
    if found["block"]:
        start = found.string.rfind("\n", 0, found.start()) + 1
        indent = re.match(r" *", found.string[start:])[0]
        return f"\n\n{indent}.. math:: {' '.join(found['block'].split())}\n\n{indent}"
    if found["inline"]:
        return f":math:`{found['inline']}`"
    return f"\\{found['sign']}" if found["sign"] else found[0]


def _mathml(latex: str, *, block: bool) -> str:
    """Presentation MathML, which browsers set themselves: no script, no font, no request."""
    plain = re.sub(r"\\[bB]igg?[lr]?(?![A-Za-z])", "", latex)  # sizes that the converter lacks
    return _subscripts(latex2mathml.tex2mathml(plain, as_block=block))


def _subscripts(mathml: str) -> str:
    """An index stands beside a letter with a tilde, where the converter puts it below."""
    root = ElementTree.fromstring(ENTITY.sub(lambda found: unescape(found[0]), mathml))
    for node in list(root.iter(f"{{{MATHML}}}munderover")):
        letter, index, accent = node
        if letter.tag == f"{{{MATHML}}}mi":
            node.tag = f"{{{MATHML}}}msub"
            over = ElementTree.Element(f"{{{MATHML}}}mover", accent="true")
            over.extend((letter, accent))
            node[:] = [over, index]
    return ElementTree.tostring(root, encoding="unicode")


def _visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{_mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def _skip(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leave out what NamedTuple, scikit-learn and torch bring with them."""
    told = getattr(obj, "__doc__", None) or ""
    foreign = (getattr(obj, "__module__", None) or "vicinal").partition(".")[0] != "vicinal"
    return True if foreign or told.startswith("Alias for field") else None


def setup(app: Sphinx) -> None:
    """Formulas in docstrings, and formulas as MathML."""
    app.connect("autodoc-process-docstring", _formulas, priority=300)
    app.connect("autodoc-skip-member", _skip)
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
