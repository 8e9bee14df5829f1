// The floor plan: drawn from a site's own metres into pixels, drawn anew when the room for it changes.

import { s } from "./kit.js";

const PAD = 22; // px around the store
const RADIO = {
  quiet: ", its radio hears nothing",
  "powered-off": ", its radio is switched off",
  blocked: ", its radio is blocked by a switch",
  failed: ", its radio cannot be used",
};

export class Plan {
  constructor(svg, outside, outsideMap, onPick) {
    this.svg = svg;
    this.outside = outside;
    this.outsideMap = outsideMap;
    this.onPick = onPick;
    this.site = null;
    this.floor = 0;
    this.counts = {};
    this.people = new Map(); // shopper -> {name, x, y, zones}
    this.marks = new Map(); // shopper -> <g>
    this.zones = new Map(); // zone -> {group, count}
    this.chosen = null;
    new ResizeObserver(() => this.draw()).observe(svg.parentElement);
  }

  setSite(site) {
    this.site = site;
    this.floor = floors(site)[0] ?? 0;
    this.counts = {};
    this.people.clear();
    this.draw();
  }

  setFloor(floor) {
    this.floor = floor;
    this.draw();
  }

  /** Gateways may have gone off; the rest of the site does not change while it is watched. */
  setGateways(gateways) {
    if (JSON.stringify(gateways) === JSON.stringify(this.site.gateways)) return;
    this.site.gateways = gateways;
    this.draw();
  }

  setCounts(counts) {
    this.counts = counts;
    this.paintCounts();
  }

  /** Somebody moved; `null` as a place takes the shopper off the plan. */
  move(shopper, place) {
    if (place) this.people.set(shopper, place);
    else this.people.delete(shopper);
    this.paintPeople();
  }

  choose(shopper) {
    this.chosen = shopper;
    for (const [id, mark] of this.marks) mark.classList.toggle("chosen", id === shopper);
  }

  stir(zone) {
    const found = this.zones.get(zone);
    if (!found) return;
    found.group.classList.remove("stir");
    void found.group.getBBox(); // lets the animation begin again
    found.group.classList.add("stir");
  }

  gift(shopper) {
    const mark = this.marks.get(shopper);
    if (!mark) return;
    mark.classList.remove("gift");
    void mark.getBBox();
    mark.classList.add("gift");
  }

  draw() {
    if (!this.site) return;
    this.indoor = this.site.zones.filter((zone) => zone.local && !zone.outdoor);
    this.fences = this.site.zones.filter((zone) => zone.local && zone.outdoor);
    this.box = bounds(this.indoor, this.site) ?? bounds(this.fences, null) ?? [0, 0, 1, 1];
    const [x1, y1, x2, y2] = this.box;
    this.svg.parentElement.style.setProperty("--shape", String(Math.max(0.8, Math.min(1.8, (x2 - x1) / (y2 - y1)))));
    const { width, height } = this.svg.parentElement.getBoundingClientRect();
    if (width < 40 || height < 40) return;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const scale = Math.min((width - 2 * PAD) / (x2 - x1), (height - 2 * PAD) / (y2 - y1));
    const left = (width - (x2 - x1) * scale) / 2;
    const top = (height - (y2 - y1) * scale) / 2;
    this.scale = scale;
    const narrow = width < 440; // a phone
    this.radius = narrow ? 8 : 11;
    this.svg.classList.toggle("narrow", narrow);
    this.px = (x) => left + (x - x1) * scale;
    this.py = (y) => top + (y2 - y) * scale;
    this.marks.clear();
    this.zones.clear();
    const words = this.svg.querySelector("title");
    const bare = !this.site.walls.length && !this.indoor.length;
    this.svg.replaceChildren(
      words,
      ...(bare ? [] : [this.ground()]),
      ...this.drawZones(bare ? this.fences : this.indoor.filter((zone) => zone.floor === this.floor)),
      ...this.site.walls.filter((wall) => wall.floor === this.floor).map((wall) => this.wall(wall)),
      ...this.site.gateways.filter((one) => one.x !== null && one.floor === this.floor).map((one) => this.gateway(one)),
      (this.layer = s("g")),
    );
    this.drawOutside(bare);
    this.paintCounts();
    this.paintPeople();
  }

  ground() {
    const [x1, y1, x2, y2] = this.box;
    const lines = [];
    const step = x2 - x1 > 60 ? 10 : x2 - x1 > 25 ? 5 : 1; // m
    for (let x = Math.ceil(x1 / step) * step; x <= x2; x += step) lines.push(`M${this.px(x)} ${this.py(y1)}V${this.py(y2)}`);
    for (let y = Math.ceil(y1 / step) * step; y <= y2; y += step) lines.push(`M${this.px(x1)} ${this.py(y)}H${this.px(x2)}`);
    const floor = { class: "floor", x: this.px(x1), y: this.py(y2), width: this.px(x2) - this.px(x1), height: this.py(y1) - this.py(y2), rx: 4 };
    return s("g", {}, s("rect", floor), s("path", { class: "grid", d: lines.join("") }));
  }

  drawZones(zones) {
    return zones.map((zone) => {
      const outline = zone.radius && zone.local.type === "Point" ? this.circle(zone) : s("path", { d: this.path(zone.local), "fill-rule": "evenodd" });
      const area = box(zone);
      const room = (area[2] - area[0]) * this.scale - 18;
      const small = room < 78 || this.svg.classList.contains("narrow");
      const lines = wrap(zone.name, small ? room + 8 : room, small ? 5.9 : 7);
      const [x, y, line] = small ? [this.px(area[0]) + 5, this.py(area[3]) + 14, 12] : [this.px(area[0]) + 10, this.py(area[3]) + 19, 15];
      const count = s("text", { class: "zone-count", x, y: y + lines.length * line });
      const names = lines.map((text, i) => s("text", { class: "zone-name", x, y: y + i * line }, text));
      const group = s("g", { class: small ? "zone small" : "zone", "data-zone": zone.id }, s("title", {}, zone.name), outline, ...names, count);
      this.zones.set(zone.id, { group, count, small });
      return group;
    });
  }

  circle(zone) {
    const [x, y] = zone.local.coordinates;
    return s("circle", { cx: this.px(x), cy: this.py(y), r: zone.radius * this.scale });
  }

  path(shape) {
    const ring = (points) => `M${points.map(([x, y]) => `${this.px(x).toFixed(1)} ${this.py(y).toFixed(1)}`).join("L")}Z`;
    const polygons = shape.type === "MultiPolygon" ? shape.coordinates : shape.type === "Polygon" ? [shape.coordinates] : [];
    return polygons.flat().map(ring).join("");
  }

  wall({ x1, y1, x2, y2 }) {
    return s("line", { class: "wall", x1: this.px(x1), y1: this.py(y1), x2: this.px(x2), y2: this.py(y2) });
  }

  gateway(one) {
    const kind = one.kind === "beacon" ? "beacon" : one.state === "offline" ? "offline" : "online";
    const words = one.kind === "beacon" ? `Shelf beacon ${one.id}` : `Gateway ${one.id}: ${one.state}${RADIO[one.adapter] ?? ""}`;
    const body = one.kind === "beacon" ? s("circle", { class: "body", r: 4 }) : s("rect", { class: "body", x: -5.5, y: -5.5, width: 11, height: 11, rx: 3.5 });
    const wave = one.kind === "beacon" ? null : s("path", { class: "wave", d: "M-11 -6.5a13 13 0 0 0 0 13M11 -6.5a13 13 0 0 1 0 13" });
    const at = `translate(${this.px(one.x)} ${this.py(one.y)})`;
    return s("g", { class: `gateway ${kind}`, "data-gateway": one.id, transform: at }, s("title", {}, words), wave, body);
  }

  paintCounts() {
    const most = Math.max(4, ...Object.values(this.counts));
    for (const [id, { group, count, small }] of this.zones) {
      const number = this.counts[id] ?? 0;
      group.style.setProperty("--full", String(number / most));
      if (small) count.textContent = String(number);
      else count.textContent = number === 0 ? "empty" : number === 1 ? "1 shopper" : `${number} shoppers`;
      count.classList.toggle("some", number > 0);
    }
    this.paintOutsideWords();
  }

  /** Where to draw somebody: at the measured place, else somewhere of their own within the zone. */
  spot(shopper, place) {
    if (place.x !== null && place.x !== undefined) return [place.x, place.y];
    const zone = this.site.zones.find((one) => place.zones.includes(one.id) && one.local);
    if (!zone) return null;
    const [x1, y1, x2, y2] = box(zone);
    const [a, b] = hash(shopper);
    return [x1 + (x2 - x1) * (0.25 + a * 0.5), y1 + (y2 - y1) * (0.2 + b * 0.4)];
  }

  /** Less than a metre aside, always the same for a shopper: those in one place do not hide one another. */
  aside(shopper) {
    const angle = 2 * Math.PI * hash(shopper)[0];
    return [this.radius * Math.cos(angle), this.radius * Math.sin(angle)];
  }

  paintPeople() {
    if (!this.px || !this.layer) return;
    const seen = new Set();
    const [x1, y1, x2, y2] = this.box;
    const far = [];
    for (const [shopper, place] of this.people) {
      const spot = this.spot(shopper, place);
      if (!spot) continue;
      if (spot[0] < x1 - 1.5 || spot[0] > x2 + 1.5 || spot[1] < y1 - 1.5 || spot[1] > y2 + 1.5) {
        far.push([shopper, spot]);
        continue;
      }
      seen.add(shopper);
      const [aside, along] = this.aside(shopper);
      const at = `translate(${(this.px(spot[0]) + aside).toFixed(1)}px, ${(this.py(spot[1]) + along).toFixed(1)}px)`;
      let mark = this.marks.get(shopper);
      if (!mark) {
        mark = this.mark(shopper, place.name);
        mark.style.transform = at;
        this.marks.set(shopper, mark);
        this.layer.append(mark);
      }
      mark.classList.remove("away");
      mark.style.transform = at;
    }
    for (const [shopper, mark] of this.marks) {
      if (seen.has(shopper)) continue;
      mark.classList.add("away");
    }
    this.paintFar(far);
  }

  mark(shopper, name) {
    const shown = name ?? shopper;
    const width = shown.length * 6.6 + 16;
    const pill = s("rect", { x: -width / 2, y: -10, width, height: 20, rx: 10 });
    const group = s(
      "g",
      { class: `person${shopper === this.chosen ? " chosen" : ""}`, "data-shopper": shopper },
      s("title", {}, shown),
      s("circle", { class: "ring", r: this.radius }),
      s("circle", { class: "self", r: this.radius }),
      s("text", { y: 4 }, [...shown][0].toUpperCase()),
      s("g", { class: "tag", transform: "translate(0 -26)" }, pill, s("text", { y: 4 }, shown)),
    );
    group.addEventListener("click", () => this.onPick(shopper));
    return group;
  }

  // Outside: fences are ten or a hundred times the store, so they get a map of their own.
  drawOutside(bare) {
    this.far = new Map();
    const shown = bare ? [] : this.fences;
    this.outside.hidden = shown.length === 0;
    if (!shown.length) {
      this.outsideMap.replaceChildren();
      return;
    }
    const [width, height] = [108, 60];
    const areas = shown.map(box);
    const x1 = Math.min(...areas.map((one) => one[0]), this.box[0]);
    const y1 = Math.min(...areas.map((one) => one[1]), this.box[1]);
    const x2 = Math.max(...areas.map((one) => one[2]), this.box[2]);
    const y2 = Math.max(...areas.map((one) => one[3]), this.box[3]);
    const scale = Math.min((width - 8) / (x2 - x1), (height - 8) / (y2 - y1));
    const px = (x) => width / 2 + (x - (x1 + x2) / 2) * scale;
    const py = (y) => height / 2 - (y - (y1 + y2) / 2) * scale;
    this.farPlace = (x, y) => `translate(${Math.min(width - 4, Math.max(4, px(x)))}px, ${Math.min(height - 4, Math.max(4, py(y)))}px)`;
    this.outsideMap.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const fences = shown.map((zone) => {
      if (zone.radius && zone.local.type === "Point") {
        const [x, y] = zone.local.coordinates;
        return s("circle", { class: "fence", cx: px(x), cy: py(y), r: zone.radius * scale });
      }
      const ring = (points) => `M${points.map(([x, y]) => `${px(x)} ${py(y)}`).join("L")}Z`;
      const polygons = zone.local.type === "MultiPolygon" ? zone.local.coordinates : [zone.local.coordinates];
      return s("path", { class: "fence", d: polygons.flat().map(ring).join("") });
    });
    const [a, b, c, d] = this.box;
    const store = s("rect", { class: "store", x: px(a) - 1, y: py(d) - 1, width: Math.max(5, (c - a) * scale), height: Math.max(5, (d - b) * scale), rx: 1.5 });
    this.outsideMap.replaceChildren(...fences, store);
  }

  paintFar(far) {
    if (!this.farPlace || this.outside.hidden) return;
    const seen = new Set();
    for (const [shopper, [x, y]] of far) {
      seen.add(shopper);
      let dot = this.far.get(shopper);
      if (!dot) {
        dot = s("circle", { class: "person", r: 3.4 });
        this.far.set(shopper, dot);
        this.outsideMap.append(dot);
      }
      dot.style.transform = this.farPlace(x, y);
    }
    for (const [shopper, dot] of this.far) {
      if (seen.has(shopper)) continue;
      dot.remove();
      this.far.delete(shopper);
    }
  }

  paintOutsideWords() {
    const words = document.getElementById("outside-words");
    words.replaceChildren();
    for (const zone of this.fences ?? []) {
      const line = document.createElement("div");
      const number = document.createElement("b");
      number.textContent = String(this.counts[zone.id] ?? 0);
      line.append(`${zone.name} `, number);
      words.append(line);
    }
  }
}

/** The floors that have something on them, lowest first. */
export const floors = (site) => [...new Set(site.zones.filter((zone) => !zone.outdoor).map((zone) => zone.floor))].sort((a, b) => a - b);

function points(shape) {
  if (shape.type === "Point") return [shape.coordinates];
  return shape.type === "MultiPolygon" ? shape.coordinates.flat(2) : shape.coordinates.flat(1);
}

function box(zone) {
  const all = points(zone.local);
  const more = zone.local.type === "Point" ? zone.radius ?? 0 : 0;
  const xs = all.map((one) => one[0]);
  const ys = all.map((one) => one[1]);
  return [Math.min(...xs) - more, Math.min(...ys) - more, Math.max(...xs) + more, Math.max(...ys) + more];
}

function bounds(zones, site) {
  const boxes = zones.map(box);
  for (const { x1, y1, x2, y2 } of site?.walls ?? []) boxes.push([Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)]);
  for (const { x, y } of site?.gateways ?? []) if (x !== null && y !== null) boxes.push([x, y, x, y]);
  if (!boxes.length) return null;
  const [x1, y1] = [0, 1].map((i) => Math.min(...boxes.map((one) => one[i])));
  const [x2, y2] = [2, 3].map((i) => Math.max(...boxes.map((one) => one[i])));
  return [x1, y1, Math.max(x2, x1 + 1), Math.max(y2, y1 + 1)];
}

// A letter is about `letter` px wide: names break between words, and a word that is too long is cut.
function wrap(name, room, letter) {
  const fits = Math.max(4, Math.floor(room / letter));
  const lines = [];
  for (const word of name.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && `${last} ${word}`.length <= fits) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.slice(0, 3).map((line) => (line.length > fits ? `${line.slice(0, fits - 1)}…` : line));
}

function hash(text) {
  let one = 2166136261;
  for (const letter of text) one = Math.imul(one ^ letter.codePointAt(0), 16777619);
  return [((one >>> 0) % 997) / 997, ((one >>> 8) % 991) / 991];
}
