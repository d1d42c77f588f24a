"""Shapes are checked in every test: annotations are enforced by beartype."""

import os
from pathlib import Path

import hypothesis
import jaxtyping
import pytest
import torch

# a busy machine is no bug; CI draws the same examples every time, people draw new ones
hypothesis.settings.register_profile("vicinal", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("vicinal")
torch.set_num_threads(1)  # tests run side by side; more threads than cores wait for each other
torch.manual_seed(0)  # what modules of tests draw when they are imported
jaxtyping.install_import_hook("vicinal", "shapes.checked")


@pytest.fixture(autouse=True)
def seeded():
    """PyTorch starts from a random seed; what a test draws from the global state is the same."""
    torch.manual_seed(0)


@pytest.fixture
def unchecked():
    """Users run without the checker, so errors that they see are tested without it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium; a machine without it skips, CI never does."""
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip(f"{CHROMIUM} is not installed")
    from pages import playwright as api

    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()
