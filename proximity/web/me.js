// A shopper's own page. The address holds the token; everything else is read with it.

import { $, get, h, listen, minutes, now, rest, s, send, setClock } from "./kit.js";
import { speak } from "./me-words.js";
import { Sharing } from "./me-sharing.js";

const token = location.pathname.split("/")[2] ?? "";
const API = `/api/v1/me/${encodeURIComponent(token)}`;
let language = navigator.language.slice(0, 2);
let say = speak(language);
let offers = [];
let allowed = true; // offers are agreed to
const tickets = new Map(); // offer -> parts of its ticket that change
const seen = new Set();
const sharing = new Sharing(API, () => say);

function label() {
  document.documentElement.lang = say === speak("fr") ? "fr" : "en";
  document.title = say.title;
  const texts = {
    "now-title": say.now, "share-title": say.share, "share-words": say.shareWords, "agree-title": say.agree, "agree-words": say.agreeWords,
    "earlier-title": say.earlier, "erase-title": say.eraseTitle, "erase-words": say.eraseWords, erase: say.erase, "sure-title": say.sure,
    "sure-words": say.sureWords, "sure-no": say.cancel, "sure-yes": say.erase,
  };
  for (const [id, text] of Object.entries(texts)) $(id).textContent = text;
}

function alone([title, text]) {
  stop();
  sharing.stop();
  const page = $("page");
  page.removeAttribute("aria-busy");
  page.replaceChildren(h("div", { class: "alone" }, h("img", { class: "mark", src: "/static/icon.svg", alt: "" }), h("h1", {}, title), h("p", {}, text)));
}

// Who and where

async function readMe() {
  let answer;
  try {
    answer = await fetch(API, { headers: { accept: "application/json" } });
  } catch {
    offline(true);
    return false;
  }
  if (answer.status === 404) {
    alone(say.unknown);
    return false;
  }
  if (!answer.ok) return false;
  offline(false);
  const me = await answer.json();
  setClock(me.at);
  if (me.language !== language) {
    language = me.language;
    say = speak(language);
  }
  label();
  $("hello").textContent = say.hello(me.name);
  const places = me.whereabouts.map((one) => say.seenAt([...one.zones, one.site_name].join(", ")));
  $("place").textContent = places.join(". ") || say.notSeen;
  paintConsents(me.consents);
  sharing.allow(me.sharing);
  $("page").removeAttribute("aria-busy");
  return true;
}

function paintConsents(consents) {
  allowed = consents.find((one) => one.purpose === "in-store-offers")?.granted ?? false;
  const shown = JSON.stringify([language, consents.map((one) => [one.purpose, one.granted])]);
  if ($("consents").dataset.shown === shown) return;
  $("consents").dataset.shown = shown;
  $("consents").replaceChildren(...consents.map(consentRow));
}

function consentRow(consent) {
  const [title, text] = say.purposes[consent.purpose] ?? [consent.purpose.replaceAll("-", " "), say.purposeElse];
  const box = h("input", { type: "checkbox", role: "switch", "data-purpose": consent.purpose, checked: consent.granted });
  box.addEventListener("change", async () => {
    const answer = await send("PUT", `${API}/consents/${encodeURIComponent(consent.purpose)}`, { granted: box.checked });
    if (!answer?.ok) {
      box.checked = !box.checked;
      tell(say.failed);
    }
    await readMe();
    await readOffers();
  });
  return h("li", {}, h("label", { class: "agree" }, h("span", {}, h("b", {}, title), h("span", { class: "quiet fine" }, text)), box));
}

// Offers

async function readOffers() {
  const found = await get(`${API}/offers?limit=30`);
  if (!found) return;
  offers = found.items;
  paintOffers();
}

// A coupon holds until it ends, also when the message about it was taken back.
const couponHolds = (offer) => offer.coupon?.state === "valid" && offer.coupon.expires > now();
const holds = (offer) => couponHolds(offer) || ((offer.state === "sent" || offer.state === "queued") && offer.expires > now());
const ends = (offer) => (offer.coupon?.state === "valid" ? offer.coupon : offer).expires;

function paintOffers() {
  const current = offers.filter(holds);
  for (const [id, ticket] of tickets) {
    if (current.some((one) => one.id === id && one.coupon?.state === ticket.offer.coupon?.state)) continue;
    ticket.element.remove();
    tickets.delete(id);
  }
  for (const offer of [...current].reverse()) {
    if (!tickets.has(offer.id)) {
      const ticket = makeTicket(offer);
      tickets.set(offer.id, ticket);
      $("now").prepend(ticket.element);
    }
    if (offer.seen === null && !seen.has(offer.id) && document.visibilityState === "visible") {
      seen.add(offer.id);
      void send("POST", `${API}/offers/${encodeURIComponent(offer.id)}/seen`);
    }
  }
  $("now").querySelector(".calm")?.remove();
  if (!current.length) $("now").append(h("div", { class: "box calm" }, rings(), allowed ? say.none : say.noneOff));
  const past = offers.filter((offer) => !holds(offer)).slice(0, 12);
  $("earlier-part").hidden = past.length === 0;
  $("earlier").replaceChildren(...past.map(pastRow));
  tick();
}

const rings = () =>
  s(
    "svg",
    { viewBox: "0 0 40 40", "aria-hidden": "true" },
    s("circle", { cx: 20, cy: 20, r: 4 }),
    s("path", { d: "M11 29a12.7 12.7 0 0 1 0-18M29 11a12.7 12.7 0 0 1 0 18" }),
    s("path", { d: "M6 34a19.8 19.8 0 0 1 0-28M34 6a19.8 19.8 0 0 1 0 28", opacity: 0.5 }),
  );

function makeTicket(offer) {
  const bar = h("i");
  const left = h("span", { class: "num" });
  // Only an address of the web: a template's text must not become a script's.
  const link = offer.url && /^https?:\/\//i.test(offer.url) ? h("a", { href: offer.url, rel: "noopener noreferrer" }, say.open) : null;
  const element = h(
    "article",
    { class: "ticket", "data-offer": offer.id, lang: offer.language },
    h(
      "div",
      { class: "top" },
      h("span", { class: "from" }, `${offer.site_name} · ${offer.zone_name}`),
      h("h3", {}, offer.title),
      h("p", { class: "body" }, offer.body),
    ),
    offer.coupon ? couponPart(offer.coupon) : null,
    h("div", { class: "foot" }, h("span", { class: "track", "aria-hidden": "true" }, bar), left, link),
  );
  return { element, bar, left, offer };
}

function worth(coupon) {
  const money = (amount) => new Intl.NumberFormat(language, { style: "currency", currency: coupon.currency }).format(amount);
  if (coupon.free) return say.coupon.free(coupon.free);
  if (coupon.text) return coupon.text;
  if (coupon.amount_off !== null) return say.coupon.off(money(coupon.amount_off));
  const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 2 }).format(coupon.percent_off / 100);
  return say.coupon.off(percent) + (coupon.at_most === null ? "" : say.coupon.atMost(money(coupon.at_most)));
}

function couponPart(coupon) {
  const used = coupon.state === "redeemed";
  return h(
    "div",
    { class: `coupon ${coupon.state}`, lang: document.documentElement.lang },
    used ? null : h("img", { class: "qr", src: coupon.qr, alt: say.coupon.show, width: 132, height: 132 }),
    h("div", {}, h("b", {}, worth(coupon)), h("span", {}, used ? say.coupon.redeemed : say.coupon.show), h("code", { "aria-label": say.coupon.code }, coupon.code)),
  );
}

function pastRow(offer) {
  const state = holds(offer) ? "sent" : offer.state === "sent" || offer.state === "queued" ? "expired" : offer.state;
  const ended = offer.coupon?.state === "redeemed" ? say.coupon.redeemed : (say[offer.state_reason] ?? say.ended[state] ?? state);
  return h(
    "li",
    { class: `past ${state}`, "data-offer": offer.id, lang: offer.language },
    h("span", { class: "ended", lang: document.documentElement.lang }, ended),
    h("b", {}, offer.title),
    h("p", {}, offer.body),
  );
}

function tick() {
  let over = false;
  for (const { bar, left, offer } of tickets.values()) {
    const seconds = ends(offer) - now();
    over ||= seconds <= 0;
    left.textContent = say.left(minutes(seconds));
    bar.style.transform = `scaleX(${rest({ ...offer, expires: ends(offer) }, now())})`;
  }
  if (over) paintOffers();
}

// The page's own state

function tell(text) {
  $("banner").textContent = text;
  $("banner").hidden = false;
}

function offline(yes) {
  if (yes) tell(say.offline);
  else $("banner").hidden = true;
}

$("erase").addEventListener("click", () => $("sure").showModal());
$("sure-no").addEventListener("click", () => $("sure").close());
$("sure-yes").addEventListener("click", async () => {
  const answer = await send("DELETE", API);
  $("sure").close();
  if (answer?.ok || answer?.status === 404) alone(say.gone);
  else tell(say.failed);
});
$("share").addEventListener("click", () => sharing.toggle());
window.addEventListener("offline", () => offline(true));
window.addEventListener("online", () => void readMe().then(readOffers));
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") void readMe().then((known) => known && readOffers());
});

let stop = () => {};
let soon = 0;
function changed() {
  clearTimeout(soon);
  soon = setTimeout(() => void readOffers(), 120); // the decision comes a moment before its offer is handed over
}

async function start() {
  label();
  document.head.append(h("link", { rel: "manifest", href: `/me/${encodeURIComponent(token)}/app.webmanifest` }));
  if (await readMe()) {
    await readOffers();
  } else if ($("page").querySelector(".alone")) {
    return;
  }
  const timer = setInterval(tick, 1000);
  const close = listen(`${API}/events`, {
    open: () => void readMe().then((known) => known && readOffers()),
    lost: () => {
      if (!navigator.onLine) offline(true);
    },
    events: { offers: changed, moved: () => void readMe(), bye: () => alone(say.unknown) },
  });
  stop = () => {
    clearInterval(timer);
    close();
  };
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("/sw.js", { scope: "/me/" }).catch(() => {});
}

void start();
