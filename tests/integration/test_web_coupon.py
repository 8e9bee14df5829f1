"""A coupon on the shopper's page in a real browser: its worth, its code as a picture, its minutes, and its end."""

from typing import Any

import pytest

from proximity.store import coupons
from proximity.store.coupons import Till
from rules.offers_codes import shown
from tests.integration.web_browser import CONTRAST, Shop, needs_browser

pytestmark = [pytest.mark.integration, needs_browser]
PHONE = {"width": 390, "height": 844}


WORTHS: list[tuple[dict[str, Any], str, str]] = [
    ({"percent_off": 20.0, "sku": "KONA-250"}, "ada", "20% off"),
    ({"percent_off": 20.0, "at_most": 400, "currency": "EUR"}, "ada", "20% off, €4.00 at most"),
    ({"amount_off": 250, "currency": "EUR"}, "brice", "-2,50 €"),
    ({"free": "one coffee"}, "ada", "Free: one coffee"),
    ({"text": "Two for one"}, "ada", "Two for one"),
]


@pytest.mark.parametrize(("coupon", "shopper", "worth"), WORTHS)
def test_what_it_is_worth(shop: Shop, coupon: dict[str, Any], shopper: str, worth: str) -> None:
    from playwright.sync_api import expect

    shop.house.grant(shop.house.send(shop.house.hear(shopper, "coffee-aisle"), "kona", "Kona", "Today"), **coupon)
    with shop.page(shop.mine(shopper), **PHONE) as page:
        expect(page.locator(".coupon b")).to_have_text(worth)


def test_a_coupon_is_shown_until_it_is_used(shop: Shop) -> None:
    from playwright.sync_api import expect

    house = shop.house
    offer = house.send(house.hear("ada", "coffee-aisle"), "kona", "20% off Kona", "45 min left.")
    coupon = house.grant(offer)
    with shop.page(shop.mine("ada"), **PHONE) as page:
        part = page.locator(".ticket .coupon")
        expect(part.locator("code")).to_have_text(shown(coupon.code))
        expect(page.locator(".ticket .num")).to_contain_text("left")
        picture = part.locator(".qr")
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("image => image.naturalWidth") > 0
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] >= 120  # a scanner wants it large
        assert page.evaluate(CONTRAST)["ratio"] >= 4.5

        house.withdraw(offer)  # the message is taken back; the coupon stays
        expect(page.locator(".ticket .coupon")).to_have_count(1)

        coupons.redeem(house.store, Till("till/1", coupon.code, "marais", house.now))
        house.feed.publish("redeemed", {"id": offer.id, "shopper": "ada"})
        expect(page.locator(".ticket")).to_have_count(0)
        expect(page.locator("#earlier .past")).to_contain_text("Redeemed")
