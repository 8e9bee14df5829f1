"""The shopper's own page in a real browser: offers come and go, and the shopper decides."""

import json

import pytest

from proximity.store import people
from tests.conftest import wait_until
from tests.integration.web_browser import CONTRAST, Shop, needs_browser

pytestmark = [pytest.mark.integration, needs_browser]
PHONE = {"width": 390, "height": 844}


def listening(shop: Shop) -> bool:
    return bool(shop.house.feed._listeners)


def test_offers_come_and_go(shop: Shop) -> None:
    from playwright.sync_api import expect

    with shop.page(shop.mine("ada"), **PHONE) as page:
        expect(page.locator("h1")).to_have_text("Hello Ada")
        expect(page.locator(".calm")).to_contain_text("No offer at the moment")
        expect(page.locator("#place")).to_have_text("You are not seen anywhere now")
        wait_until(lambda: listening(shop), what="the page's stream")

        shop.house.place("ada", "coffee-aisle", 3.0, 7.0)
        expect(page.locator("#place")).to_have_text("You are seen at Coffee, Maison Kona, Le Marais")
        shop.house.send(shop.house.hear("brice", "entrance"), "welcome", "For Brice", "Not for Ada")
        offer = shop.house.send(shop.house.hear("ada", "coffee-aisle"), "coffee-linger", "20 % off", "Two bags left")
        ticket = page.locator(".ticket")
        expect(ticket).to_have_count(1)
        expect(ticket.locator("h3")).to_have_text("20 % off")
        expect(ticket.locator(".from")).to_have_text("Maison Kona, Le Marais · Coffee")
        expect(ticket.locator(".num")).to_contain_text("left")
        seen = shop.house.context

        def was_seen() -> bool:
            from proximity.store import offers

            stored = offers.offer(seen.store, offer.id)
            return stored is not None and stored.seen is not None

        wait_until(was_seen, what="the word that the offer was seen")

        shop.house.withdraw(offer)
        expect(ticket).to_have_count(0)
        expect(page.locator("#earlier .past")).to_contain_text("You left the place")
        assert "For Brice" not in page.content()


def test_an_offer_runs_out_before_ones_eyes(shop: Shop) -> None:
    from playwright.sync_api import expect

    shop.house.send(shop.house.hear("ada", "coffee-aisle"), "coffee-linger", "20 % off", "Quick", lasts=120.0)
    with shop.page(shop.mine("ada"), **PHONE) as page:
        expect(page.locator(".ticket")).to_have_count(1)
        shop.house.now += 121  # the page goes by the service's clock, and may ask it at any moment
        page.clock.fast_forward(121_000)
        expect(page.locator(".ticket")).to_have_count(0)
        expect(page.locator("#earlier .ended")).to_have_text("Over")


def test_a_change_of_mind(shop: Shop) -> None:
    from playwright.sync_api import expect

    with shop.page(shop.mine("brice"), **PHONE) as page:
        expect(page.locator("h1")).to_have_text("Bonjour Brice")
        assert page.evaluate("document.documentElement.lang") == "fr"
        switch = page.get_by_role("switch", name="Offres en magasin")
        expect(switch).to_be_checked()
        switch.focus()
        page.keyboard.press("Space")
        expect(page.locator(".calm")).to_contain_text("Vous avez désactivé les offres")
        expect(page.locator("#share")).to_be_disabled()
        assert people.shopper(shop.house.store, "brice").consents["in-store-offers"] is False  # type: ignore[union-attr]
        assert shop.house.live.changed == ["brice"]


def test_the_language_follows_the_browser(shop: Shop) -> None:
    from playwright.sync_api import expect

    with shop.page(shop.mine("deniz"), **PHONE, locale="fr-CA") as page:
        expect(page.locator("h1")).to_have_text("Bonjour Deniz")
    with shop.page(shop.mine("deniz"), **PHONE, locale="en-GB") as page:
        expect(page.locator("h1")).to_have_text("Hello Deniz")


def test_sharing_a_position(shop: Shop) -> None:
    from playwright.sync_api import expect

    where = {"latitude": 48.8568, "longitude": 2.3563, "accuracy": 9}
    with shop.page(shop.mine("ada"), **PHONE, geolocation=where, permissions=["geolocation"]) as page:
        page.locator("#share").click()
        expect(page.locator("#share")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#share-state")).to_have_text("Shared just now, to within 9 m.")
        topic, payload = shop.house.live.submitted[0]
        assert topic == "app/ada"
        assert json.loads(payload)["lat"] == 48.8568
        page.locator("#share").click()
        expect(page.locator("#share")).to_have_attribute("aria-pressed", "false")


# A headless browser under load may leave the question open instead of saying no, so the no is said here.
REFUSE = """() => {
  navigator.geolocation.watchPosition = (_, refuse) => {
    setTimeout(() => refuse({ code: 1, PERMISSION_DENIED: 1 }));
    return 1;
  };
}"""


def test_a_position_that_is_not_allowed(shop: Shop) -> None:
    from playwright.sync_api import expect

    with shop.page(shop.mine("ada"), **PHONE) as page:
        page.evaluate(REFUSE)
        page.locator("#share").click()
        expect(page.locator("#share-state")).to_contain_text("did not allow it")
        assert shop.house.live.submitted == []


def test_being_forgotten(shop: Shop) -> None:
    from playwright.sync_api import expect

    with shop.page(shop.mine("ada"), **PHONE) as page:
        page.locator("#erase").click()
        page.locator("#sure-no").click()
        assert people.shopper(shop.house.store, "ada") is not None
        page.locator("#erase").click()
        page.locator("#sure-yes").click()
        expect(page.locator("h1")).to_have_text("All is deleted")
        assert people.shopper(shop.house.store, "ada") is None


def test_an_old_link(shop: Shop) -> None:
    from playwright.sync_api import expect

    with shop.page(f"{shop.server.url}/me/an-old-token", **PHONE) as page:
        expect(page.locator("h1")).to_have_text("This link no longer works")
        assert all("404" in error for error in shop.errors)
        shop.errors.clear()


def test_without_a_network_the_shell_is_still_there(shop: Shop) -> None:
    from playwright.sync_api import expect

    with shop.page(shop.mine("ada"), **PHONE) as page:
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        page.reload()  # now through the service worker, which keeps the shell
        expect(page.locator("h1")).to_have_text("Hello Ada")
        kept = page.evaluate("caches.keys().then((names) => caches.open(names[0])).then((one) => one.keys())"
                             ".then((all) => all.map((one) => one.url))")  # fmt: skip
        assert not any(shop.house.tokens["ada"] in url for url in kept)
        page.context.set_offline(True)
        page.reload()
        expect(page.locator("#banner")).to_have_text("You are offline. What you see may be old.")
        page.context.set_offline(False)
        expect(page.locator("h1")).to_have_text("Hello Ada")
        shop.errors.clear()  # the browser tells of each request that failed while offline


def test_it_can_be_installed(shop: Shop) -> None:
    with shop.page(shop.mine("ada"), **PHONE) as page:
        page.wait_for_selector('link[rel="manifest"]', state="attached")
        session = page.context.new_cdp_session(page)
        manifest = session.send("Page.getAppManifest")
        assert manifest["errors"] == []
        assert json.loads(manifest["data"])["start_url"] == f"/me/{shop.house.tokens['ada']}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1024, 390, 320])
def test_every_size_and_scheme(shop: Shop, width: int, scheme: str) -> None:
    from playwright.sync_api import expect

    shop.house.send(shop.house.hear("brice", "coffee-aisle"), "coffee-linger", "20 % off", "Two bags left")
    shop.house.now += 1
    shop.house.withdraw(shop.house.send(shop.house.hear("brice", "entrance"), "welcome", "Coffee is on us", "Until 11"))
    with shop.page(shop.mine("brice"), width, 844, color_scheme=scheme, reduced_motion="reduce") as page:
        expect(page.locator(".ticket")).to_have_count(1)
        expect(page.locator("#earlier .past")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        worst = page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, worst
