"""A till that redeems what the shoppers' app received, and asks again under the same key until it has an answer."""

import threading
from collections.abc import Callable
from random import Random

import httpx

from tests.torture.house import TOKEN
from tests.torture.load import Load
from tests.torture.record import Redeemed, is_code, plain

EVERY = 0.7  # s between customers
AGAIN = 0.3  # of them bring a coupon that was taken before
PATIENCE = 2.0  # s for an answer


class TillThread(threading.Thread):
    """Until `stop`. `pages`: where the service listens at the moment, None while nobody knows."""

    def __init__(self, load: Load, pages: Callable[[], str | None], site: str, seed: int) -> None:
        super().__init__(name="till", daemon=True)
        self._load, self._pages, self._site = load, pages, site
        self._random = Random(seed)
        self._halt = threading.Event()
        self._asked: list[str] = []  # codes
        self.redeemed: dict[str, Redeemed] = {}

    def run(self) -> None:
        customer = 0
        while not self._halt.wait(EVERY):
            code = self._next()
            if code is not None:
                customer += 1
                self._redeem(code, f"till/{customer}", self._random.randint(10, 100))

    def _next(self) -> str | None:
        if self._asked and self._random.random() < AGAIN:
            return self._random.choice(self._asked)
        asked = set(self._asked)
        fresh = [one.body for one in list(self._load.offers.values()) if is_code(one.body) and one.body not in asked]
        if not fresh:
            return None
        self._asked.append(self._random.choice(fresh))
        return self._asked[-1]

    def _redeem(self, code: str, key: str, discount: int) -> None:
        """Until there is an answer: a yes is kept, a no is none of our business."""
        body = {"site": self._site, "discount": discount / 100}
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key}
        while not self._halt.is_set():
            try:
                url = f"{self._pages()}/api/v1/coupons/{code}/redeem"
                answer = httpx.post(url, json=body, headers=headers, timeout=PATIENCE)
            except httpx.HTTPError:
                self._halt.wait(0.1)
                continue
            if answer.status_code == httpx.codes.OK:
                if answer.json()["redeemed"]:
                    self.redeemed[key] = Redeemed(plain(code), discount)
                return
            assert answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR, f"{answer.status_code}: {answer.text}"
            self._halt.wait(0.1)

    def stop(self) -> None:
        """Serve nobody any more."""
        self._halt.set()
        self.join()
