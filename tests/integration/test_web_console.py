"""The console in a real browser: what a person sees, with and without the key, at several sizes."""

import pytest

from proximity.api.server import ApiServer
from tests.api_house import WALKS, along, zone_at
from tests.integration.web_browser import CONTRAST, Shop, needs_browser

pytestmark = [pytest.mark.integration, needs_browser]


def fill(shop: Shop, metres: float = 0.0) -> None:
    """Everybody somewhere on their walk."""
    for number, (shopper, walk) in enumerate(WALKS.items()):
        x, y = along(walk, metres + number * 5)
        shop.house.place(shopper, zone_at(x, y), x, y)


def test_dots_names_and_counts(shop: Shop) -> None:
    from playwright.sync_api import expect

    shop.house.place("ada", "coffee-aisle", 3.0, 7.0)
    shop.house.place("brice", "coffee-aisle", 4.4, 8.0)
    with shop.page(shop.console) as page:
        expect(page.locator("#link")).to_have_text("Live")
        assert "key" not in page.url
        expect(page.locator("#plan .person:not(.away)")).to_have_count(2)
        expect(page.locator('[data-zone="coffee-aisle"] .zone-count')).to_have_text("2 shoppers")
        expect(page.locator("#inside")).to_have_text("2")
        expect(page.locator("#people")).to_contain_text("Ada")
        expect(page.locator("#gateways")).to_have_text("5 of 6 gateways online")
        expect(page.locator('[data-gateway="tea-north"]')).to_have_class("gateway offline")
        expect(page.locator("#plan .wall")).to_have_count(8)

        before = page.locator('[data-shopper="ada"]').get_attribute("style")
        assert before
        shop.house.now += 2
        shop.house.place("ada", "tills", 15.5, 3.0)
        expect(page.locator('[data-zone="tills"] .zone-count')).to_have_text("1 shopper")
        expect(page.locator('[data-shopper="ada"]')).not_to_have_attribute("style", before)

        shop.house.now += 2
        shop.house.live.places.clear()
        shop.house.place("brice", "coffee-aisle", 4.4, 8.0)
        expect(page.locator("#plan .person:not(.away)")).to_have_count(1)
        expect(page.locator("#inside")).to_have_text("1")


def test_who_is_heard_no_more_is_not_drawn_where_he_was(shop: Shop) -> None:
    from playwright.sync_api import expect

    shop.house.place("ada", None, 10.0, 8.0)  # between two zones
    shop.house.place("brice", "coffee-aisle", 4.4, 8.0)
    with shop.page(shop.console) as page:
        expect(page.locator("#plan .person:not(.away)")).to_have_count(2)
        shop.house.now += 6
        page.clock.fast_forward(11_000)  # the page looks at who is where every ten seconds
        expect(page.locator('[data-shopper="ada"].away')).to_have_count(1)
        expect(page.locator('[data-shopper="brice"]:not(.away)')).to_have_count(1)


def test_an_offer_reaches_the_phone_and_is_taken_back(shop: Shop) -> None:
    from playwright.sync_api import expect

    fill(shop)
    with shop.page(shop.console) as page:
        expect(page.locator("#link")).to_have_text("Live")
        page.locator("#who").select_option("brice")
        expect(page.locator(".none")).to_contain_text("No offer for Brice yet")
        transition = shop.house.hear("brice", "shoes", "dwell", 60.0)
        offer = shop.house.send(transition, "coffee-linger", "20% off Kona coffee", "Two bags left")
        notice = page.locator(f'[data-offer="{offer.id}"]')
        expect(notice.locator("h3")).to_have_text("20% off Kona coffee")
        expect(notice.locator(".left")).to_contain_text("left")
        expect(notice).not_to_have_class("notice over withdrawn")
        expect(page.locator("#stream")).to_contain_text("Sent to Brice")
        expect(page.locator("#stream")).to_contain_text("Brice stayed 60 s in Kitchenware")
        expect(page.locator("#sent")).to_have_text("1")

        shop.house.withdraw(offer)
        expect(notice).to_have_class("notice over withdrawn")
        expect(notice.locator(".left")).to_have_text("Taken back: left the zone")


def test_a_phone_that_nobody_chose_follows_the_offers(shop: Shop) -> None:
    from playwright.sync_api import expect

    fill(shop)
    with shop.page(shop.console) as page:
        expect(page.locator("#link")).to_have_text("Live")
        shop.house.send(shop.house.hear("chloe", "tea-aisle"), "welcome", "Un thé ?", "Offert jusqu’à onze heures")
        expect(page.locator("#who")).to_have_value("chloe")
        expect(page.locator(".notice h3")).to_have_text("Un thé ?")


def test_why_by_keyboard(shop: Shop) -> None:
    from playwright.sync_api import expect

    shop.house.place("ada", "coffee-aisle", 3.0, 7.0)
    no = shop.house.withhold(
        shop.house.hear("ada", "coffee-aisle", "dwell", 60.0), "coffee-linger", "limit_reached", "2 of 2 in 24 h"
    )
    with shop.page(shop.console) as page:
        line = page.locator(f'[data-id="{no.id}"] button')
        expect(line).to_contain_text("Withheld from Ada: had enough offers already")
        line.focus()
        page.keyboard.press("Enter")
        sheet = page.locator("#explain")
        expect(sheet).to_be_visible()
        expect(sheet.locator("h2")).to_have_text("Coffee aisle, 20 % off")
        expect(sheet.locator(".stages li")).to_have_count(4)
        expect(sheet.locator(".stages .no")).to_contain_text("2 of 2 in 24 h")
        expect(sheet.locator(".stages .no .where")).to_have_text("coffee.rules.yaml:12")
        page.keyboard.press("Escape")
        expect(sheet).to_be_hidden()
        expect(line).to_be_focused()

        page.locator('#filter [data-kind="sent"]').click()
        expect(line).to_be_hidden()
        page.locator('#filter [data-kind="held"]').click()
        expect(line).to_be_visible()


def test_without_the_key_there_are_counts_alone(shop: Shop) -> None:
    from playwright.sync_api import expect

    fill(shop)
    shop.house.withhold(shop.house.hear("ada", "coffee-aisle"), "coffee-linger", "limit_reached", "2 of 2")
    with shop.page(shop.server.url) as page:
        expect(page.locator("#link")).to_have_text("Live")
        expect(page.locator("#note")).to_contain_text("You see counts only")
        expect(page.locator("#plan .person")).to_have_count(0)
        expect(page.locator("#withheld")).to_have_text("1")
        assert not any(name in page.content() for name in ("Ada", "Brice", "Chloé"))
        shop.house.now += 2
        shop.house.place("deniz", "coffee-aisle")
        expect(page.locator('[data-zone="coffee-aisle"] .zone-count')).not_to_have_text("empty")
    with shop.page(f"{shop.server.url}/?key=wrong") as page:
        expect(page.locator("#note")).to_contain_text("That key was not accepted")


def test_another_store(shop: Shop) -> None:
    from playwright.sync_api import expect

    fill(shop)
    with shop.page(shop.console) as page:
        expect(page.locator('[data-zone="coffee-aisle"]')).to_be_visible()
        page.locator("#site").select_option("lyon")
        expect(page.locator('[data-zone="floor"]')).to_be_visible()
        expect(page.locator("#plan .zone")).to_have_count(2)
        expect(page.locator("#plan .person:not(.away)")).to_have_count(0)
        expect(page.locator("#inside")).to_have_text("0")
        expect(page).to_have_title("Maison Kona, Lyon · Proximity")


def test_the_page_comes_back_after_the_service_was_away(shop: Shop) -> None:
    from playwright.sync_api import expect

    with shop.page(shop.console) as page:
        expect(page.locator("#link")).to_have_text("Live")
        shop.server.stop()
        expect(page.locator("#link")).to_have_text("Reconnecting")
        shop.house.now += 5
        shop.house.place("ada", "coffee-aisle", 3.0, 7.0)
        shop.app.state.closing.set = False
        shop.server = ApiServer(shop.app, port=shop.server.port)
        shop.server.start()
        expect(page.locator("#link")).to_have_text("Live")
        expect(page.locator("#plan .person:not(.away)")).to_have_count(1)
        assert all("Failed to load resource" in error for error in shop.errors)
        shop.errors.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024, 768, 390])
def test_every_size_and_scheme(shop: Shop, width: int, scheme: str) -> None:
    from playwright.sync_api import expect

    fill(shop)
    shop.house.withhold(shop.house.hear("ada", "coffee-aisle"), "coffee-linger", "limit_reached", "2 of 2")
    shop.house.now += 1
    taken = shop.house.send(shop.house.hear("brice", "entrance"), "welcome", "Coffee is on us", "Until eleven")
    shop.house.withdraw(taken)
    options = {"color_scheme": scheme, "reduced_motion": "reduce"}
    with shop.page(shop.console, width, 900, **options) as page:
        expect(page.locator(".notice.over")).to_have_count(1)
        expect(page.locator("#plan .person:not(.away)")).to_have_count(5)
        for words in ("Connecting", "Reconnecting"):  # the widest that stand there
            page.evaluate("words => { document.getElementById('link').textContent = words; }", words)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        worst = page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, worst
        moving = page.evaluate("getComputedStyle(document.querySelector('#plan .person')).transitionDuration")
        assert float(moving.split(",")[0].removesuffix("s")) < 0.01
