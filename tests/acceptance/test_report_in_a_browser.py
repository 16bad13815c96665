"""The report in headless Chromium without a network: it loads, complains of nothing, and its filters work."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_evidence import evidence
from understudy.evaluation.results import Metrics
from understudy.reporting.evidence import Evidence
from understudy.reporting.render import render_run

pytestmark = pytest.mark.acceptance

# Works the filters as a reader would and leaves in the page what became of them, and what the page asked for.
_READER = """<script>
const form = document.getElementById("filter"), rows = [...document.querySelectorAll("#texts tbody tr")];
const shown = () => rows.filter(row => !row.hidden).length;
const after = (name, value) => {
  form.elements[name].value = value;
  form.dispatchEvent(new Event("input"));
  return shown();
};
const found = { all: shown() };
found.teacher = after("right", "teacher");
found.none = after("search", "no such words");
found.again = after("search", "");
const asked = performance.getEntriesByType("resource").map(entry => entry.name);
found.requests = asked.filter(name => !name.startsWith("data:"));
const answer = document.createElement("output");
answer.id = "answer";
answer.textContent = JSON.stringify(found);
document.body.append(answer);
</script>"""


# The contrast of every text with what lies behind it (WCAG 2.2, 1.4.3), and which of the two themes is on.
_CONTRAST = """<script>
const numbers = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
const light = ([red, green, blue]) => [red, green, blue].map(value => value / 255)
  .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = numbers(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
const found = {};
for (const element of document.querySelectorAll("main *")) {
  if (!own(element) || ["script", "style", "option", "title"].includes(element.tagName.toLowerCase())) continue;
  const style = getComputedStyle(element);
  const colour = numbers(element.closest("svg") ? style.fill : style.color);
  const [high, low] = [light(colour), light(behind(element))].sort((one, other) => other - one);
  const kind = element.closest("svg") ? "svg" : element.className || element.tagName;
  found[kind] = Math.min(found[kind] || 99, (high + 0.05) / (low + 0.05));
}
const answer = document.createElement("output");
answer.id = "answer";
answer.textContent = JSON.stringify({ dark: matchMedia("(prefers-color-scheme: dark)").matches, found });
document.body.append(answer);
</script>"""


def chromium(page: Path, tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.fail("no Chromium here: apt-get install chromium")
    quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    alone = ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-sync",
        *quiet,
        *alone,
        *flags,
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_filters_work_and_nothing_is_asked_of_anybody(finished: Any, tmp_path: Path) -> None:
    found = Evidence.read(finished.out)
    page = tmp_path / "report.html"
    html = (finished.out / "report" / "report.html").read_text(encoding="utf-8")
    page.write_text(html.replace("</body>", f"{_READER}</body>"), encoding="utf-8")
    done = chromium(page, tmp_path, "--enable-logging=stderr", "--v=0", "--dump-dom")
    assert not re.findall(r"CONSOLE.*", done.stderr)
    answer = re.search(r'<output id="answer">(.*?)</output>', done.stdout)
    assert answer is not None
    seen = json.loads(unescape(answer[1]))
    teacher, student = found.predicted["teacher"], found.predicted["student"]
    apart = teacher != student
    assert seen == {
        "all": int(apart.sum()),
        "teacher": int((apart & (teacher == found.labels)).sum()),
        "none": 0,
        "again": int((apart & (teacher == found.labels)).sum()),
        "requests": [],
    }
    assert seen["all"] > 0


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read_in_light_and_dark(finished: Any, tmp_path: Path, dark: bool) -> None:
    page = tmp_path / "report.html"
    html = (finished.out / "report" / "report.html").read_text(encoding="utf-8")
    page.write_text(html.replace("</body>", f"{_CONTRAST}</body>"), encoding="utf-8")
    done = chromium(page, tmp_path, f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom")
    answer = re.search(r'<output id="answer">(.*?)</output>', done.stdout)
    assert answer is not None
    seen = json.loads(unescape(answer[1]))
    assert seen["dark"] is dark
    assert {"P", "svg", "TD"} <= seen["found"].keys()
    assert not {kind: ratio for kind, ratio in seen["found"].items() if ratio < 4.5}


@pytest.mark.parametrize("classes", [2, 77])
def test_a_page_for_25_000_texts_stays_below_5_megabytes(finished: Any, tmp_path: Path, classes: int) -> None:
    words = np.random.default_rng(0).integers(20, 400, 25_000)
    texts = [f"number {number} " + "a word " * count for number, count in enumerate(words.tolist())]
    names = [f"class number {number} with a name" for number in range(classes)]
    metrics = Metrics.load(finished.out / "metrics.json")
    found = evidence(metrics, tmp_path, classes=names, count=25_000, texts=texts)
    render_run(found, found.manifest)
    assert found.run.dashboard.is_file()
    assert found.run.page.stat().st_size < 5_000_000
    done = chromium(found.run.page, tmp_path, "--enable-logging=stderr", "--v=0", "--dump-dom")
    assert not re.findall(r"CONSOLE.*", done.stderr)
    assert re.search(r"<output[^>]*>\d+ of 300 texts</output>", done.stdout)


@pytest.mark.parametrize("width", [360, 1200])
def test_no_width_makes_the_page_scroll_sideways(finished: Any, tmp_path: Path, width: int) -> None:
    page = tmp_path / "report.html"
    html = (finished.out / "report" / "report.html").read_text(encoding="utf-8")
    frame = f'<iframe id="frame" width="{width}" height="800" style="border:0" srcdoc="{_escaped(html)}"></iframe>'
    probe = (
        "<script>frame.onload = () => { const inside = frame.contentDocument.documentElement;"
        " document.title = inside.scrollWidth - inside.clientWidth; }</script>"
    )
    page.write_text(f"<!doctype html><body style='margin:0'>{frame}{probe}</body>", encoding="utf-8")
    done = chromium(page, tmp_path, f"--window-size={width},800", "--virtual-time-budget=5000", "--dump-dom")
    assert re.search(r"<title>(-?\d+)</title>", done.stdout)[1] == "0"  # type: ignore[index]


def test_it_prints(finished: Any, tmp_path: Path) -> None:
    printed = tmp_path / "report.pdf"
    chromium(finished.out / "report" / "report.html", tmp_path, f"--print-to-pdf={printed}", "--no-pdf-header-footer")
    assert printed.read_bytes().startswith(b"%PDF") and printed.stat().st_size > 50_000
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.fail("no pdftotext here: apt-get install poppler-utils")
    text = subprocess.run([reader, str(printed), "-"], capture_output=True, text=True, check=True).stdout
    assert "resamples = " in text  # the recipe, which the page keeps folded


def _escaped(html: str) -> str:
    return html.replace("&", "&amp;").replace('"', "&quot;")
