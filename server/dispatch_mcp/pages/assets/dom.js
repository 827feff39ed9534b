// Elements are made here and nowhere else. Texts of a run become text nodes; nothing is ever read as markup.
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

const NOTHING = [null, undefined, false, ""];

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (NOTHING.includes(value)) continue;
    if (name === "on") for (const [kind, act] of Object.entries(value)) node.addEventListener(kind, act);
    else if (name === "css") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => !NOTHING.includes(child)));
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
function put(host, ...children) {
  host.replaceChildren();
  fill(host, null, children);
}
const bdi = (text) => el("bdi", null, String(text));
const empty = (text) => el("p", { class: "empty" }, text);
const button = (text, click, attributes) => el("button", { type: "button", on: { click }, ...attributes }, text);
const link = (text, click) => button(text, click, { class: "link" });
const region = (kind, label, ...children) => el("div", { class: kind, tabindex: "0", role: "region", "aria-label": label }, children);
// Buttons that call `act` with a factor, or with 0 for what fits.
const zooms = (what, act) => [["−", 0.7, "Shrink"], ["+", 1.4, "Stretch"], ["Fit", 0, "Fit"]].map(([text, by, name]) => button(text, () => act(by), { "aria-label": `${name} ${what}` }));
const soft = (...children) => el("span", { class: "soft" }, ...children);
const titled = (...children) => el("div", { class: "titled" }, ...children);
const gap = () => el("span", { class: "spacer" });

function table(heads, rows) {
  const numeric = heads.map((head) => head.startsWith("#"));
  const line = (tag, cells) => el("tr", null, cells.map((text, at) => el(tag, { scope: tag === "th" && "col", class: numeric[at] && "num" }, text)));
  const names = heads.map((head) => head.replace("#", ""));
  return region("wide", `Table: ${names.join(", ")}`, el("table", null, el("thead", null, line("th", names)), el("tbody", null, rows.map((row) => line("td", row)))));
}

// Figures
const whole = new Intl.NumberFormat("en");
const cents = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const count = (n, noun) => `${whole.format(n)} ${noun}${n === 1 ? "" : "s"}`;
const tokens = (n) => (n < 10000 ? whole.format(n) : short.format(n));
function dollars(n) {
  if (n === null || n === undefined) return "–";
  return `$${n === 0 || n >= 1 ? cents.format(n) : n >= 0.01 ? n.toFixed(3) : n.toPrecision(2)}`;
}
function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min${Math.floor(s % 60) ? ` ${Math.floor(s % 60)} s` : ""}`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h${minutes % 60 ? ` ${minutes % 60} min` : ""}` : `${Math.floor(hours / 24)} days ${hours % 24} h`;
}
const MARKS = { succeeded: "✓", unverified: "?", failed: "✕", running: "●", ready: "○", blocked: "·", skipped: "–", cancelled: "⊘", abandoned: "✕", timed_out: "✕", superseded: "–", paused: "‖", waiting_input: "!", needs_changes: "!", partial: "?", inconclusive: "?" };
const words = (state) => state.replaceAll("_", " ");
const pill = (state, big) => el("span", { class: `pill${big ? " big" : ""} s-${state.replace(" ", "-")}` },
  MARKS[state] && el("span", { "aria-hidden": "true" }, MARKS[state]), words(state));
