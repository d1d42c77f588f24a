"""Shapes are checked in every test: annotations are enforced by beartype."""

import jaxtyping
import pytest

jaxtyping.install_import_hook("vicinal", "shapes.checked")


@pytest.fixture
def unchecked():
    """Users run without the checker, so errors that they see are tested without it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
