"""The local page in a real Chromium: type, watch it denoise, scrub, change the theme."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.processes import Home

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not os.environ.get("CHROMIUM"), reason="CHROMIUM names no Chromium"
    ),
]
SHOTS = Path(__file__).resolve().parents[2] / ".e2e" / "shots"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync",),
]
TEXT = "def mean(values):\n    total = ⟦⟧\n    return ⟦⟧\n"
FILLS = {"total = ": "sum(values)", "return ": "total / len(values)"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    (tmp_path / "fills.json").write_text(json.dumps(FILLS))
    arguments = ("--table", str(tmp_path / "fills.json"), "--delay-ms", "60")
    with home.fake_daemon(*arguments):
        yield home


@pytest.fixture
def page(home: Home) -> Iterator[Page]:
    with _opened(home) as link, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.environ["CHROMIUM"], args=FLAGS
        )
        page = browser.new_page(
            color_scheme="light", viewport={"width": 1200, "height": 700}
        )
        asked: list[str] = []
        faults: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda said: faults.append(said.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(link)
        yield page
        assert faults == []
        root = link.split("/open")[0]
        assert asked and all(url.startswith((root, "data:")) for url in asked)
        browser.close()


class _opened:
    def __init__(self, home: Home) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dlmd", "open", "--no-browser"],
            stdout=subprocess.PIPE,
            env=home.env(),
        )

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10)


def shoot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def canvas(page: Page) -> str:
    return page.locator("#canvas").inner_text()


def test_type_watch_scrub_and_take_over(page: Page) -> None:
    expect(page.locator("#status")).to_contain_text("ready")
    page.locator("#text").fill(TEXT)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#canvas .sure").first).to_be_visible()
    expect(page.locator("#canvas .mask").first).to_be_visible()
    shoot(page, "page-denoising")
    expect(page.locator("#take")).to_be_enabled()
    done = TEXT.replace("⟦⟧", "sum(values)", 1).replace("⟦⟧", "total / len(values)")
    assert canvas(page).strip() == done.strip()
    assert "steps, first state after" in page.locator("#said").inner_text()
    assert page.locator("#latency polyline").count() == 1
    shoot(page, "page-done")

    # The scrubber, by keyboard alone: back to the start, one step on.
    page.locator("#step").focus()
    page.keyboard.press("Home")
    assert canvas(page).count("░░░") == 2
    page.keyboard.press("ArrowRight")
    assert "░" in canvas(page) and canvas(page) != done
    assert page.locator("#at").inner_text().startswith("1 of ")
    page.keyboard.press("End")
    assert canvas(page).strip() == done.strip()

    page.keyboard.press("Control+s")
    assert page.locator("#text").input_value() == done


def test_dark_and_light(page: Page) -> None:
    page.locator("#text").fill(TEXT)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#take")).to_be_enabled()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.evaluate(ground) != light
    shoot(page, "page-dark")
    page.reload()
    assert page.evaluate(ground) != light  # it is remembered


def test_stop_and_a_text_without_holes(page: Page) -> None:
    page.locator("#text").fill("no hole here")
    page.keyboard.press("Control+Enter")
    assert "no hole" in page.locator("#said").inner_text()
    page.locator("#text").fill("return ⟦⟧ and ⟦⟧ and ⟦⟧ and ⟦⟧ and ⟦⟧")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#stop")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator("#stop")).to_be_disabled()
    assert "cancelled" in page.locator("#said").inner_text()
    page.locator("#text").fill("")
    page.locator("#hole").click()
    assert page.locator("#text").input_value() == "⟦⟧"


def test_text_is_text(page: Page) -> None:
    page.locator("#text").fill("<img src=x onerror=alert(1)> ⟦⟧")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#take")).to_be_enabled()
    assert page.locator("#canvas img").count() == 0
    assert canvas(page).startswith("<img src=x")


def test_the_daemon_ends_while_the_page_is_open(page: Page, home: Home) -> None:
    expect(page.locator("#status")).to_contain_text("ready")
    assert home.run("stop").code == 0
    expect(page.locator("#status")).to_contain_text("dlmd open")
