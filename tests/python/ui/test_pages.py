"""What pages show: to everybody, at every width, in light and dark, with keys alone, without scripts."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python import sync_playwright as axe_package

from .conftest import Open, Site, until

AXE = (Path(axe_package.__file__).parent / "axe.min.js").read_text()
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
WIDTHS = (320, 360, 480, 719, 720, 859, 860, 1024, 1199, 1200, 1600, 2560)
KIB = 1024


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page: Open, addresses: dict[str, str], scheme: str, width: int) -> None:
    # The script of axe is not one that our policy allows, so it comes in past it.
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    found = []
    # Every page with few rows: each row costs axe as much as the first, and tells it nothing new.
    few = {
        "events": "/events?q=created:%3E-7h",
        "everything": "/events?q=created:%3E-7h+-kind:audit",
        "actor": "/actors/service/lab-gateway",
    }
    for name, address in {**addresses, **few}.items():
        page.goto(address)
        page.evaluate(AXE)
        result = page.evaluate("rules => axe.run(document, rules)", RULES)
        assert len(result["passes"]) > 10
        found += [(name, one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"]) for one in result["violations"]]
    assert found == []


def test_the_door_has_no_violation_either(site: Site, browser: Any) -> None:
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    for address in ("/events", "/open/none"):
        page.goto(site.base + address)
        page.evaluate(AXE)
        assert page.evaluate("rules => axe.run(document, rules)", RULES)["violations"] == []
    context.close()


def test_no_page_scrolls_sideways(open_page: Open, addresses: dict[str, str]) -> None:
    page = open_page()
    wide = []
    for name, address in addresses.items():
        page.goto(address)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            wide += [(name, width, over)] if over > 0 else []
    assert wide == []


def test_pages_stay_where_they_are_while_they_load(open_page: Open, addresses: dict[str, str]) -> None:
    page = open_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => { for (const one of list.getEntries()) window.shift += one.value })"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    for name, address in addresses.items():
        page.goto(address, wait_until="networkidle")
        assert page.evaluate("window.shift") <= 0.02, name


@pytest.mark.parametrize("width", [1280, 2560])
def test_a_list_stands_in_its_place_before_what_follows_it_has_arrived(open_page: Open, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 900})
    # One answer for both: on a busy machine the time may be up for the chart of one and not of the other.
    answer = page.request.get("/events?q=")
    head, aside, _ = answer.text().partition("<aside")
    assert "<main" in head
    assert aside
    places = []
    for body in (answer.text(), head):

        def fulfill(route: Any, *, body: str = body) -> None:
            route.fulfill(response=answer, body=body)

        page.route("**/events?*", fulfill)
        page.goto("/events?q=")
        places.append(page.locator(".list").bounding_box())
        page.unroute("**/events?*")
    whole, begun = places
    assert (begun["x"], begun["y"], begun["width"]) == (whole["x"], whole["y"], whole["width"])


def test_the_first_load_is_light(open_page: Open) -> None:
    page = open_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda response: sizes.setdefault(response.url, len(gzip.compress(response.body(), 9))))
    page.goto("/events", wait_until="networkidle")
    of = lambda end: sum(size for url, size in sizes.items() if url.endswith(end))  # noqa: E731
    assert sum(sizes.values()) <= 120 * KIB, sizes
    for end, most in ((".js", 15), (".css", 20), (".woff2", 90)):
        assert 0 < of(end) <= most * KIB, sizes


def test_assets_are_kept_for_ever_and_only_under_their_hash(open_page: Open) -> None:
    page = open_page()
    page.goto("/events")
    url = page.evaluate("document.querySelector('link[rel=stylesheet]').href")
    assert page.request.get(url).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert page.request.get(re.sub("/assets/[0-9a-f]{16}/", "/assets/0123456789abcdef/", url)).status == 404


def ids_on(page: Any) -> list[str]:
    rows = page.eval_on_selector_all(".row[data-href]", "rows => rows.map(row => row.dataset.href.split('/').pop())")
    return list(rows)


@pytest.mark.parametrize("address", ["/events", "/events?q=kind:change", "/objects/clinic.Patient/42", "/actors/user/7"])
def test_a_list_has_the_same_rows_in_every_form_and_its_address_is_kept(open_page: Open, address: str) -> None:
    page = open_page()
    page.goto(address)
    shown = ids_on(page)
    assert len(shown) >= 10
    path, _, query = address.partition("?")
    answer = page.request.get(f"{path}.json?{query}").json()
    assert [row["event"]["id"] for row in answer["rows"]] == shown
    lines = page.request.get(f"{path}.ndjson?{query}").text().splitlines()
    assert [json.loads(line) for line in lines] == answer["rows"]
    cells = page.request.get(f"{path}.csv?{query}").text()
    assert [line.split(",")[4] for line in cells.splitlines()[1:]] == shown


def test_spreadsheets_get_no_formula(open_page: Open) -> None:
    page = open_page()
    page.goto("/events")
    cells = page.request.get("/events.csv?q=").text()
    assert not re.search(r"(?:^|,)\"?[=+@-]", cells, re.MULTILINE)


def test_pages_join_in_both_directions(open_page: Open) -> None:
    page = open_page()
    page.goto("/events?q=-kind:audit")
    first = ids_on(page)
    seen = list(first)
    while page.locator("a[rel=next]").count():
        follow(page, "a[rel=next]")
        seen += ids_on(page)
    assert len(seen) == len(set(seen)) > 150
    back = ids_on(page)
    while page.locator("a[rel=prev]").count():
        follow(page, "a[rel=prev]")
        back = ids_on(page) + back
    assert back == seen


def follow(page: Any, link: str) -> None:
    """Clicks, and waits for all of the page that it leads to: a page can be read while it still arrives."""
    with page.expect_navigation():
        page.click(link)


def test_a_bar_of_the_histogram_leads_to_its_events(open_page: Open) -> None:
    page = open_page()
    page.goto("/events")
    label = page.get_attribute(".bars a >> nth=0", "aria-label")
    assert 1 <= page.locator(".bars a").count() <= 120
    page.eval_on_selector(".bars a", "bar => bar.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))")
    page.wait_for_url("**created**..**")
    total = int(re.search(r", (\d+) events?", label)[1])
    assert len(ids_on(page)) == min(total, 50)


def test_chips_facets_and_presets_change_the_query_and_nothing_else(open_page: Open) -> None:
    page = open_page(viewport={"width": 1400, "height": 900})
    page.goto("/events")
    page.click("text=All time")
    assert page.input_value("#q") == "-kind:read -action:audit.read"
    page.click("a[aria-label='Remove -kind:read']")
    page.click("a[aria-label='Remove -action:audit.read']")
    assert page.input_value("#q") == ""
    page.click(".facets a.toggle:has-text('patient.update')")
    assert page.input_value("#q") == "action:patient.update"
    assert set(page.locator(".action").all_inner_texts()) == {"patient.update"}


def test_a_query_that_is_not_understood_says_where_and_what_was_meant(open_page: Open) -> None:
    page = open_page()
    page.goto("/events?q=kind:change+actr:ana")
    fault = page.inner_text("#fault pre").splitlines()
    assert fault[0].index("actr") == fault[1].index("^")
    page.click("#fault a")
    assert page.input_value("#q") == "kind:change actor:ana"


def test_what_is_not_there_has_a_page_that_says_so(open_page: Open) -> None:
    page = open_page()
    answer = page.request.get("/events/999999")
    assert answer.status == 404
    assert "Not found" in answer.text()
    assert "The trail has no record" in answer.text()
    assert page.request.get("/events/999999.json").json()["error"].startswith("the trail has no record")


def test_no_match_names_the_condition_to_leave_out(open_page: Open) -> None:
    page = open_page()
    page.goto("/events?q=kind:change+actor:nobody")
    page.click("text=without actor:nobody")
    assert page.input_value("#q") == "kind:change"
    assert len(ids_on(page)) == 50


def test_the_diff_says_in_words_what_colour_says(open_page: Open, addresses: dict[str, str]) -> None:
    page = open_page()
    page.goto(addresses["event with every change"])
    text = " ".join(page.inner_text(".diff").split())
    for part in ["removed: Mild", "added: High", "the values were never recorded", "unknown: was not loaded", "computed"]:
        assert part in text, text
    assert page.locator(".diff del").count() >= 2
    page.goto(addresses["event with a statement"])
    assert "128 rows" in page.inner_text(".diff")
    assert "and 20 more" in page.inner_text(".diff")


def test_an_event_is_recomputed_and_its_receipt_convinces_a_stranger(
    site: Site, open_page: Open, addresses: dict[str, str], tmp_path: Path
) -> None:
    page = open_page()
    page.goto(addresses["event with every change"])
    assert re.match(r"Intact to checkpoint \d+", page.inner_text("#evidence-title"))
    assert page.locator(".steps .yes").count() == 4
    with page.expect_download() as download:
        page.click("a:has-text('Receipt')")
    receipt = tmp_path / "receipt"
    download.value.save_as(receipt)
    verifier = site.data_dir / "trail" / "verifier"
    assert "proved" in site.indelible("verify", "--proof", str(receipt), "--key", str(verifier), "-o", "json")


def test_the_badge_speaks_of_a_check_that_was_made(open_page: Open) -> None:
    page = open_page()
    page.goto("/health")
    page.click("text=Check the whole trail now")

    def text() -> str:
        page.goto("/health")
        return str(page.inner_text(".badge")) if "running" not in page.inner_text("#integrity") else ""

    assert re.match(r"Intact to checkpoint [\d\u202f]+ · just now", until("the check ends", text))


def test_what_was_recorded_is_text_and_nothing_else(open_page: Open, addresses: dict[str, str]) -> None:
    page = open_page()
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto("/events?q=action:patient.create")
    assert page.locator("main script").count() == 0
    assert '<script>alert("x")</script>' in page.inner_text("main")


def test_the_walk_of_a_case_by_keys_alone(open_page: Open) -> None:
    page = open_page(viewport={"width": 1280, "height": 900})
    page.goto("/events?q=")
    keys = page.keyboard
    keys.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    keys.press("Control+A")
    keys.type("action:patient.discharge")
    keys.press("Enter")
    page.wait_for_url("**discharge**")
    keys.press("j")
    keys.press("Enter")
    page.wait_for_url(re.compile(r"/events/[0-9a-f-]{36}$"))
    page.go_back()
    for key, address in (("o", "**/objects/clinic.Patient/42"), ("a", "**/actors/user/7"), ("r", "**/requests/req-discharge")):
        keys.press("j")
        keys.press(key)
        page.wait_for_url(address)
        page.go_back()
        page.wait_for_url("**discharge**")
    keys.press("?")
    assert page.locator("dialog[open]").count() == 1
    keys.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    keys.press("j")
    keys.press("x")
    page.wait_for_url("**-action**")


def test_keys_turn_pages_and_change_the_zone_and_copy_links(open_page: Open) -> None:
    page = open_page(viewport={"width": 1280, "height": 900}, timezone_id="Asia/Kolkata")
    page.goto("/events?q=kind:change")
    first = ids_on(page)
    page.keyboard.press("]")
    page.wait_for_url("**cursor**")
    assert not set(first) & set(ids_on(page))
    page.keyboard.press("[")
    page.wait_for_url("**cursor=o**")
    assert ids_on(page) == first
    utc = page.inner_text("tbody time >> nth=0")
    page.keyboard.press("z")
    assert page.inner_text("tbody time >> nth=0") != utc
    assert page.inner_text("th [data-zone]") == "Asia/Kolkata" or page.inner_text("th [data-zone]") == "Asia/Calcutta"
    assert page.get_attribute("tbody time >> nth=0", "title").endswith("Z")
    page.keyboard.press("j")
    page.keyboard.press("c")
    until("it is copied", lambda: page.evaluate("navigator.clipboard.readText()").endswith(f"/events/{first[0]}"))


def test_tab_reaches_the_content_and_focus_is_seen(open_page: Open) -> None:
    page = open_page(viewport={"width": 1280, "height": 900})
    page.goto("/events")
    page.keyboard.press("Tab")
    assert page.inner_text(":focus") == "Skip to the content"
    assert page.evaluate("getComputedStyle(document.activeElement).clipPath") == "none"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_everything_works_without_scripts(open_page: Open, addresses: dict[str, str]) -> None:
    page = open_page(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page.goto("/")
    assert page.url.endswith("/events")
    page.fill("#q", "action:patient.discharge")
    page.press("#q", "Enter")
    page.click(".open")
    assert "Intact to checkpoint" in page.inner_text("#evidence")
    page.click("summary:has-text('Raw record')")
    assert '"action": "patient.discharge"' in page.inner_text("details.raw")
    page.click("dt:has-text('Request') + dd a")
    assert "What it caused" in page.inner_text("main")
    page.click(".tree .object")
    assert page.locator(".timeline .moment").count() >= 10
    page.click("text=as a list")
    page.click("a[rel=next]") if page.locator("a[rel=next]").count() else None
    page.goto("/events")
    page.click("text=View as table")
    assert page.locator(".twin tbody tr").count() >= 10
    page.click("text=Health")
    page.click("text=Check the whole trail now")
    assert page.url.endswith("/health")


def test_print_shows_the_event_and_none_of_the_controls(open_page: Open, addresses: dict[str, str]) -> None:
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print")
    page.goto(addresses["event with every change"])
    assert page.is_visible(".diff")
    assert page.is_visible("#evidence-title")
    assert not page.is_visible(".rail")
    assert not page.is_visible(".actions")


def test_other_preferences_are_heard(open_page: Open) -> None:
    page = open_page(reduced_motion="reduce", forced_colors="active")
    page.goto("/events")
    assert page.evaluate("getComputedStyle(document.querySelector('.rail a')).transitionDuration") == "0s"
    assert page.evaluate("getComputedStyle(document.querySelector('.badge')).borderStyle") == "solid"
