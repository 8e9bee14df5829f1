"""A shopper's coupon: in words for the page, and as a picture for the till."""

from io import BytesIO

from proximity.api.my_schemas import MyCoupon
from proximity.store.coupons import StoredCoupon
from rules import offers_codes

QUIET = 4  # modules of white around the code: what ISO/IEC 18004 asks for
RECOVERY = "m"  # 15 % of the code may be scratched or glare


def my_coupon(stored: StoredCoupon, now: float, page: str) -> MyCoupon:
    """As the shopper's page shows it; `page` is the address of the shopper's own data."""
    coupon = stored.coupon
    state = "redeemed" if stored.state == "redeemed" else "valid" if stored.valid(now) else "over"
    return MyCoupon(
        code=offers_codes.shown(coupon.code),
        qr=f"{page}/offers/{coupon.id}/qr.svg",
        percent_off=coupon.percent_off,
        amount_off=_units(coupon.amount_off),
        at_most=_units(coupon.at_most),
        currency=coupon.currency,
        free=coupon.free,
        text=coupon.text,
        sku=coupon.sku,
        category=coupon.category,
        site=None if coupon.chain else coupon.site,
        expires=coupon.expires,
        state=state,
    )


def qr_picture(code: str) -> bytes:
    """The code as an SVG picture, dark on white so that it is read on a dark page too."""
    import segno  # only where coupons are shown, and not in every service from its start

    out = BytesIO()
    segno.make_qr(code, error=RECOVERY).save(
        out, kind="svg", border=QUIET, dark="#000", light="#fff", xmldecl=False, omitsize=True
    )
    return out.getvalue()


def _units(hundredths: int | None) -> float | None:
    return None if hundredths is None else hundredths / 100
