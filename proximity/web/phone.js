// The phone of the chosen shopper: a lock screen where offers arrive, count down, and are taken back.

import { h, minutes, now, rest, s } from "./kit.js";
import { over } from "./words.js";

export class Phone {
  constructor(root, { siteName, timeOf, dayOf }) {
    Object.assign(this, { siteName, timeOf, dayOf });
    this.offers = new Map();
    this.cards = new Map();
    this.bar = h("span", { class: "num" });
    this.day = h("p", { class: "day" });
    this.hour = h("p", { class: "hour num" });
    this.list = h("div", { class: "notices", id: "notices", role: "log", "aria-label": "Offers on the phone", tabindex: "0" });
    this.none = h("p", { class: "none" });
    root.append(
      h(
        "div",
        { class: "screen" },
        h("span", { class: "island" }),
        h("div", { class: "bar" }, this.bar, battery()),
        h("div", { class: "lock" }, this.day, this.hour),
        this.none,
        this.list,
      ),
    );
    this.show([], "");
  }

  /** All offers of a shopper, and what to say when there are none. */
  show(offers, emptyText) {
    this.empty = emptyText;
    this.offers = new Map(offers.map((offer) => [offer.id, offer]));
    this.cards.clear();
    this.list.replaceChildren();
    for (const offer of [...offers].sort((a, b) => a.created - b.created)) this.card(offer);
    this.tick();
  }

  put(offer) {
    const known = this.offers.get(offer.id);
    this.offers.set(offer.id, { ...known, ...offer });
    if (!known) this.card(offer);
    this.tick();
  }

  end(id, state, why) {
    const offer = this.offers.get(id);
    if (!offer) return;
    this.offers.set(id, { ...offer, state, state_reason: why });
    this.tick();
  }

  card(offer) {
    const age = h("span", { class: "num" });
    const bar = h("i");
    const left = h("span", { class: "num" });
    const card = h(
      "article",
      { class: "notice", "data-offer": offer.id, lang: offer.language },
      h("div", { class: "from" }, h("img", { src: "/static/icon.svg", alt: "" }), h("span", {}, this.siteName(offer.site)), age),
      h("h3", {}, offer.title),
      h("p", {}, offer.body),
      h("div", { class: "left" }, h("span", { class: "track", "aria-hidden": "true" }, bar), left),
    );
    this.cards.set(offer.id, { card, age, bar, left });
    this.list.prepend(card);
  }

  /** Once a second, and whenever something changed. */
  tick() {
    const at = now();
    this.bar.textContent = this.hour.textContent = this.timeOf(at);
    this.day.textContent = this.dayOf(at);
    this.none.hidden = this.offers.size > 0;
    this.none.textContent = this.empty;
    for (const [id, { card, age, bar, left }] of this.cards) {
      const offer = this.offers.get(id);
      const ended = over(offer, at);
      card.classList.toggle("over", ended !== null);
      card.classList.toggle("withdrawn", offer.state === "withdrawn");
      age.textContent = at - offer.created < 60 ? "now" : `${Math.floor((at - offer.created) / 60)} min ago`;
      left.textContent = ended ?? `${minutes(offer.expires - at)} left`;
      bar.style.transform = `scaleX(${rest(offer, at)})`;
    }
  }
}

const battery = () =>
  s(
    "svg",
    { viewBox: "0 0 22 12", "aria-hidden": "true" },
    s("rect", { x: 0.6, y: 0.6, width: 18, height: 10.8, rx: 3, fill: "none", stroke: "#fff", opacity: 0.6 }),
    s("rect", { x: 2.2, y: 2.2, width: 13, height: 7.6, rx: 1.6, fill: "#fff" }),
    s("rect", { x: 19.6, y: 4, width: 1.8, height: 4, rx: 0.9, fill: "#fff", opacity: 0.6 }),
  );
