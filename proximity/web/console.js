// The console: a snapshot by fetch, then what happens by events; after a lost connection the snapshot again.

import { Activity } from "./activity.js";
import { explain } from "./explain.js";
import { $, get, h, listen, now, setClock } from "./kit.js";
import { Phone } from "./phone.js";
import { Plan, floors } from "./plan.js";
import { curve, figure, stats } from "./strip.js";

const HEALTH_EVERY = 2000; // ms
const HEAL_EVERY = 10000; // ms between two full looks at who is where
const FADE_AFTER = 60; // s after which a phone outside that says nothing more is no longer drawn
const HEARD_WITHIN = 5; // s: who is in no zone of the floor is drawn while gateways hear him, which is every second
const state = {
  sites: [],
  site: null, // detail of the chosen one
  operator: null, // null: not known yet
  names: new Map(), // shopper -> name
  asked: new Set(), // shoppers whose name is being fetched
  rules: new Map(), // rule -> title
  places: new Map(), // device -> whereabouts
  chosen: null, // shopper on the phone
  picked: false, // chosen by hand: then no new offer changes it
  observations: null, // [count, ms]
};

const nameOf = (shopper) => state.names.get(shopper) ?? shopper;
const ruleName = (rule) => state.rules.get(rule) ?? rule;
const siteName = (id) => state.sites.find((site) => site.id === id)?.name ?? id;
const zoneName = (site, zone) => (site === state.site?.id && state.site.zones.find((one) => one.id === zone)?.name) || zone;
const clockOf = (options) => (at) => new Intl.DateTimeFormat("en-GB", { timeZone: state.site?.timezone, ...options }).format(new Date(at * 1000));
const timeOf = clockOf({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const hourOf = clockOf({ hour: "2-digit", minute: "2-digit" });
const dayOf = clockOf({ weekday: "long", day: "numeric", month: "long" });

const plan = new Plan($("plan"), $("outside"), $("outside-map"), (shopper) => pick(shopper, true));
const activity = new Activity({ nameOf, zoneName, ruleName, timeOf, onExplain: (id) => explain(id, { nameOf, ruleName, zoneName, timeOf }) });
const phone = new Phone($("phone"), { siteName, timeOf: hourOf, dayOf });

async function learnName(shopper) {
  if (state.names.has(shopper) || state.asked.has(shopper)) return;
  state.asked.add(shopper);
  const found = await get(`/api/v1/shoppers/${encodeURIComponent(shopper)}`);
  if (found) remember([found]);
}

function remember(shoppers) {
  for (const one of shoppers) state.names.set(one.id, one.name ?? one.id);
  paintPeople();
}

// Who is where

function place(row) {
  const before = state.places.get(row.device);
  if (before && before.at > row.at) return;
  state.places.set(row.device, row);
  if (row.name) state.names.set(row.shopper, row.name);
  else void learnName(row.shopper);
}

/** All devices there are now, or all of one site. */
function placeAll(rows, site) {
  const told = new Set(rows.map((row) => row.device));
  for (const [device, row] of state.places) if ((site === null || row.site === site) && !told.has(device)) state.places.delete(device);
  rows.forEach(place);
  paintPlaces();
}

function paintPlaces() {
  const best = new Map(); // shopper -> the device that says most
  for (const row of state.places.values()) {
    if (row.site !== state.site?.id) continue;
    const other = best.get(row.shopper);
    const better = !other || (row.x !== null) > (other.x !== null) || ((row.x !== null) === (other.x !== null) && row.at > other.at);
    if (better && drawn(row)) best.set(row.shopper, row);
  }
  for (const shopper of plan.people.keys()) if (!best.has(shopper)) plan.move(shopper, null);
  for (const [shopper, row] of best) plan.move(shopper, { name: nameOf(shopper), x: row.x ?? null, y: row.y ?? null, zones: row.zones });
  paintPeople();
}

/** Whether somebody is drawn where this device was last: not where gateways heard him before he left. */
function drawn(row) {
  const silent = now() - row.at;
  const inside = row.zones.some((id) => state.site.zones.some((zone) => zone.id === id && !zone.outdoor));
  const placed = row.x !== null || row.zones.length > 0;
  if (row.lat === null) return inside || (placed && silent < HEARD_WITHIN);
  return row.zones.length > 0 || (placed && silent < FADE_AFTER);
}

/** The name of the zone that says most: a shelf, rather than the car park around the store. */
function nearest(zones) {
  const found = state.site.zones.filter((zone) => zones.includes(zone.id));
  return (found.find((zone) => !zone.outdoor) ?? found[0])?.name ?? "";
}

let peopleShown = "";
function paintPeople() {
  if (!state.operator) return;
  const here = [...plan.people].map(([id, place]) => ({ id, name: nameOf(id), zone: nearest(place.zones) }));
  here.sort((a, b) => a.name.localeCompare(b.name));
  const key = JSON.stringify([here, state.chosen, [...state.names]]);
  if (key === peopleShown) return;
  peopleShown = key;
  const focused = document.activeElement?.dataset?.person;
  $("people").replaceChildren(
    ...here.map((one) =>
      h(
        "button",
        {
          type: "button",
          class: "person-chip",
          "data-person": one.id,
          "aria-pressed": String(one.id === state.chosen),
          onclick: () => pick(one.id, true),
        },
        h("i", { "aria-hidden": "true" }, [...one.name][0].toUpperCase()),
        h("b", {}, one.name),
        h("span", { class: "quiet" }, one.zone),
      ),
    ),
  );
  if (focused) $("people").querySelector(`[data-person="${CSS.escape(focused)}"]`)?.focus();
  const all = [...state.names].sort((a, b) => a[1].localeCompare(b[1]));
  $("who").replaceChildren(...all.map(([id, name]) => h("option", { value: id, selected: id === state.chosen }, name)));
  $("who").value = state.chosen ?? "";
}

async function pick(shopper, byHand) {
  if (byHand) state.picked = true;
  state.chosen = shopper;
  plan.choose(shopper);
  paintPeople();
  await showOffers();
}

async function showOffers() {
  const shopper = state.chosen;
  if (!shopper || !state.operator) return;
  const found = await get(`/api/v1/shoppers/${encodeURIComponent(shopper)}/offers?limit=8`);
  if (shopper === state.chosen) phone.show(found?.items ?? [], `No offer for ${nameOf(shopper)} yet. It appears here the moment a rule sends one.`);
}

// The event of an end does not say why; the offer does.
async function refreshOffers() {
  const shopper = state.chosen;
  const found = await get(`/api/v1/shoppers/${encodeURIComponent(shopper)}/offers?limit=8`);
  if (shopper === state.chosen) for (const one of [...(found?.items ?? [])].reverse()) phone.put(one);
}

// Snapshots

async function chooseSite(id) {
  const site = await get(`/api/v1/sites/${encodeURIComponent(id)}`);
  if (!site) return;
  state.site = site;
  $("plan-words").textContent = `Floor plan of ${site.name}`;
  document.title = `${site.name} · Proximity`;
  $("north").hidden = site.lat === null;
  $("north").firstElementChild.style.transform = `rotate(${-site.bearing}deg)`;
  plan.setSite(site);
  paintFloors(site);
  paintGateways(site);
  activity.clear();
  await heal();
  await history();
}

function paintFloors(site) {
  const all = floors(site);
  $("floors").hidden = all.length < 2;
  $("floors").replaceChildren(
    ...all.map((floor) =>
      h("button", { type: "button", "aria-pressed": String(floor === plan.floor), onclick: (event) => {
        plan.setFloor(floor);
        for (const one of $("floors").children) one.setAttribute("aria-pressed", String(one === event.currentTarget));
      } }, floor === 0 ? "Ground" : `Floor ${floor}`),
    ),
  );
}

function paintGateways(site) {
  const all = site.gateways.filter((one) => one.kind === "gateway");
  const on = all.filter((one) => one.state === "online").length;
  $("gateways").textContent = all.length ? `${on} of ${all.length} gateways online` : "";
}

async function heal() {
  const id = state.site.id;
  const presence = await get(`/api/v1/sites/${encodeURIComponent(id)}/presence`);
  if (!presence || id !== state.site.id) return;
  setClock(presence.at);
  operator(presence.people !== null);
  counted({ sites: { [id]: { total: presence.total, zones: presence.zones } } });
  if (presence.people) {
    placeAll(presence.people, id);
    if (!state.chosen && presence.people.length) await pick(presence.people[0].shopper, false);
  }
}

async function history() {
  if (!state.operator) return;
  const site = encodeURIComponent(state.site.id);
  const [shoppers, rules, transitions, decisions] = await Promise.all([
    get("/api/v1/shoppers?limit=500"),
    get("/api/v1/rules"),
    get(`/api/v1/transitions?site=${site}&limit=60`),
    get(`/api/v1/decisions?site=${site}&limit=60`),
  ]);
  state.rules = new Map((rules?.items ?? []).map((rule) => [rule.id, rule.title || rule.id]));
  if (rules?.errors) note(`The rules on disk were refused, the set before stays in force: ${rules.errors.split("\n")[0]}`, true);
  remember(shoppers?.items ?? []);
  transitions?.items.forEach((one) => activity.transition(one));
  decisions?.items.forEach((one) => activity.decision(one));
  const last = decisions?.items.find((one) => one.outcome === "sent");
  if (last && !state.picked) await pick(last.shopper, false);
}

async function figures() {
  const one = await get("/api/v1/stats");
  if (one) stats(one);
}

async function health() {
  const one = await get("/api/v1/health");
  if (!one) return;
  const at = performance.now();
  if (state.observations) {
    const rate = Math.max(0, Math.round(((one.observations - state.observations[0]) / (at - state.observations[1])) * 1000));
    figure("rate", rate);
    curve("rate", rate);
  }
  state.observations = [one.observations, at];
}

// What a page without the key says

function note(text, bad = false) {
  $("note").textContent = text;
  $("note").classList.toggle("bad", bad);
  $("note").hidden = false;
}

function operator(yes) {
  if (state.operator === yes) return;
  state.operator = yes;
  document.body.classList.toggle("anonymous", !yes);
  $("legend-dot").hidden = !yes;
  $("who").disabled = !yes;
  if (yes) {
    $("note").hidden = true;
    activity.say("Nothing has happened yet.");
    return;
  }
  const refused = location.hash === "#key-refused";
  $("note").replaceChildren(
    refused ? "That key was not accepted. " : "You see counts only. ",
    "Names, dots and decisions need the operator’s key: open the address that ",
    h("code", {}, "proximity"),
    " printed when it started, the one that ends in ",
    h("code", {}, "/?key=…"),
  );
  $("note").classList.toggle("bad", refused);
  $("note").hidden = false;
  activity.say("Who moves and what is decided is shown with the operator’s key only.");
  $("who").replaceChildren(h("option", {}, "needs the key"));
  phone.show([], "A shopper’s offers are shown with the operator’s key only.");
}

function counted({ sites }) {
  const mine = sites[state.site?.id] ?? { total: 0, zones: {} };
  plan.setCounts(mine.zones);
  figure("inside", mine.total);
  curve("inside", mine.total);
}

// What happens

const events = {
  presence: counted,
  whereabouts: ({ devices }) => placeAll(devices, null),
  transition: (one) => {
    if (one.site !== state.site?.id) return;
    void learnName(one.shopper);
    activity.transition(one);
    plan.stir(one.zone);
  },
  decision: (one) => {
    figuresSoon();
    if (one.site === state.site?.id) activity.decision(one);
    if (one.outcome === "sent" && one.shopper === state.chosen) void refreshOffers();
  },
  offer: (one) => {
    plan.gift(one.shopper);
    if (!state.picked && one.shopper !== state.chosen) void pick(one.shopper, false);
    else if (one.shopper === state.chosen) phone.put({ ...one, state: "sent" });
  },
  withdrawn: (one) => {
    phone.end(one.id, one.state ?? "withdrawn", one.reason ?? null);
    if (one.shopper === state.chosen) void refreshOffers();
  },
  health: () => void refreshGateways(),
};

let soon = 0;
function figuresSoon() {
  if (soon) return;
  soon = setTimeout(() => {
    soon = 0;
    void figures();
  }, 400);
}

async function refreshGateways() {
  if (!state.site) return;
  const site = await get(`/api/v1/sites/${encodeURIComponent(state.site.id)}`);
  if (!site || site.id !== state.site.id) return;
  paintGateways(site);
  plan.setGateways(site.gateways);
}

function link(name, text) {
  $("link").dataset.state = name;
  $("link").textContent = text;
}

async function start() {
  const found = await get("/api/v1/sites");
  if (!found) {
    link("lost", "No answer");
    setTimeout(start, 3000);
    return;
  }
  state.sites = found.items;
  $("site").replaceChildren(...found.items.map((site) => h("option", { value: site.id }, site.name)));
  $("site").disabled = found.items.length < 2;
  $("site").addEventListener("change", () => void chooseSite($("site").value));
  $("who").addEventListener("change", () => void pick($("who").value, true));
  if (!found.items.length) {
    note("There is no store yet. Describe one in config/ and start again.");
    return;
  }
  let first = true;
  await chooseSite(found.items[0].id);
  listen("/api/v1/events", {
    open: async () => {
      link("live", "Live");
      if (!first) await Promise.all([refreshGateways(), heal(), history(), showOffers()]);
      first = false;
    },
    lost: () => link("lost", "Reconnecting"),
    events,
  });
  setInterval(() => {
    $("clock").textContent = timeOf(now());
    phone.tick();
  }, 1000);
  setInterval(() => void health(), HEALTH_EVERY);
  setInterval(() => {
    void heal();
    void figures();
    void refreshGateways();
  }, HEAL_EVERY);
  await Promise.all([figures(), health()]);
}

void start();
