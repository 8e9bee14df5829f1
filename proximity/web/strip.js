// The figures on top, and their little curves.

import { $, h, s } from "./kit.js";
import { reason } from "./words.js";

const KEEP = 60; // points of a curve

const curves = { inside: [], rate: [] };

export function figure(name, value) {
  $(name).textContent = value === null ? "–" : value.toLocaleString("en");
}

/** Add a point and draw the curve again. */
export function curve(name, value) {
  const points = curves[name];
  points.push(value);
  if (points.length > KEEP) points.shift();
  const svg = $(`${name}-spark`);
  const most = Math.max(...points, 1) * 1.15;
  const [width, height] = [200, 46];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  if (points.length < 2) return;
  const x = (i) => ((i / (points.length - 1)) * width).toFixed(1);
  const y = (one) => (height - 3 - (one / most) * (height - 8)).toFixed(1);
  const line = points.map((one, i) => `${x(i)} ${y(one)}`).join("L");
  svg.replaceChildren(
    s("path", { class: "area", d: `M${line}L${width} ${height}L0 ${height}Z` }),
    s("path", { d: `M${line}`, "vector-effect": "non-scaling-stroke" }),
  );
}

export function stats(one) {
  figure("sent", one.sent);
  figure("withheld", one.withheld);
  const all = one.sent + one.withheld;
  $("share-bar").style.transform = `scaleX(${all ? one.sent / all : 0})`;
  $("sent-share").textContent = all ? `${Math.round((100 * one.sent) / all)} % of ${all.toLocaleString("en")} decisions` : "no decision yet";
  const top = Object.entries(one.reasons).sort((a, b) => b[1] - a[1]).slice(0, 3);
  const row = ([code, number]) =>
    h("li", { title: reason(code) }, h("span", {}, reason(code)), h("b", { class: "num" }, number.toLocaleString("en")));
  $("reasons").replaceChildren(...top.map(row));
}
