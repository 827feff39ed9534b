// Puts the page together: what is drawn anew with new data, and what only changes with the replay.
const SECTIONS = [["graph", "Graph", drawGraph], ["timeline", "Timeline", drawTimeline], ["tasks", "Tasks", drawTasks, () => run.tasks.length], ["cost", "Cost", drawCost], ["receipts", "Receipts", drawReceipts, () => Object.values(run.results).reduce((sum, one) => sum + (one.receipts || []).length, 0)], ["council", "Council", drawCouncil, () => run.findings.length], ["messages", "Messages", drawMessages, () => run.messages.length], ["events", "Events", drawEvents, () => run.events.length]];
// Pixels across, and how often it was drawn
const page = { room: 1200, turn: 0 };
let opener = null;
let drawnGraph = "";
let playing = 0;

function show(picture) {
  const began = performance.now();
  adopt(picture);
  document.title = `${run.run.title || run.run.run_id} · ${words(run.run.state)}`;
  byId("main").hidden = false;
  byId("gate").hidden = true;
  byId("replay").hidden = run.events.length < 2;
  put(byId("nav"), SECTIONS.map(([id, title, , size]) => el("a", { href: `#${id}`, on: { click: (event) => { event.preventDefault(); byId(id).scrollIntoView(); } } }, title, size && size() > 0 && el("span", { class: "n" }, short.format(size())))));
  const shape = `${run.run.run_id} ${run.run.plan_version} ${run.tasks.length} ${run.extra_edges.length}`;
  page.room = Math.max(280, byId("main").clientWidth - 86);
  page.turn += 1;
  if (picked >= run.tasks.length) picked = -1;
  drawNow();
  for (const part of SECTIONS.slice(0, 2)) if (part[0] !== "graph" || shape !== drawnGraph) drawn(part);
  drawnGraph = shape;
  drawReplay();
  paint();
  drawDetails();
  byId("status").textContent = `${words(run.run.state)}: ${listed(tally(states))}`;
  document.body.dataset.drawn = (performance.now() - began).toFixed(1);
  rest(page.turn, 2);
}
// What lies further down follows, a part at a time.
function rest(turn, place) {
  if (turn !== page.turn) return;
  if (place < SECTIONS.length) {
    drawn(SECTIONS[place]);
    setTimeout(rest, 0, turn, place + 1);
  } else document.body.dataset.whole = turn;
}
// Draws a part anew, where its reader has it.
function drawn([id, , draw]) {
  const boxes = () => [...byId(id).querySelectorAll(".vlist, .scroll")];
  const kept = page.turn > 1 ? boxes().map((box) => [box.scrollTop, box.scrollLeft, box.contains(document.activeElement)]) : [];
  draw(byId(id).lastElementChild);
  if (kept.length) boxes().forEach((box, i) => {
    if (!kept[i]) return;
    [box.scrollTop, box.scrollLeft] = kept[i];
    if (kept[i][2]) box.focus({ preventScroll: true });
  });
}

function paint() {
  document.body.classList.toggle("then", !isNow());
  paintHead();
  paintGraph();
  paintTimeline();
  if (filter.state) sift();
  taskList && taskList.draw();
  eventList && eventList.draw();
}

function drawReplay() {
  const host = byId("replay");
  let range = host.querySelector("input");
  if (!range) {
    range = el("input", { type: "range", min: "0", "aria-label": "Replay: event", on: { input: () => goTo(Number(range.value)) } });
    host.append(button("▶ Replay", play, { class: "play" }), range, el("output"), button("Now", () => { stop(); goTo(run.events.length); }, { class: "end" }));
  }
  range.max = String(run.events.length);
  range.value = String(at);
  const [, when, kind, task] = at ? run.events[at - 1] : [0, 0, "not begun", -1];
  const said = isNow() ? `${count(run.events.length, "event")}, ${isOver() ? "over" : "the newest"}` : `${whole.format(at)} of ${whole.format(run.events.length)} · ${duration(when)} · ${words(kind)}${task >= 0 ? ` · ${run.tasks[task].id}` : ""}`;
  range.setAttribute("aria-valuetext", said);
  host.querySelector("output").textContent = said;
  host.querySelector(".end").disabled = isNow();
  host.querySelector(".end").textContent = isOver() ? "To the end" : "Now";
  host.querySelector(".play").textContent = playing ? "‖ Pause" : "▶ Replay";
}
let planned = 0;
function goTo(event) {
  at = Math.max(0, Math.min(run.events.length, event));
  follows = isNow();
  if (planned) return;
  planned = requestAnimationFrame(() => {
    planned = 0;
    replay();
    drawReplay();
    paint();
    if (!isNow() && eventList && playing) eventList.show(at - 1);
    if (picked >= 0) drawDetails();
  });
}
function stop() {
  clearInterval(playing);
  playing = 0;
}
// A run replays in about twenty seconds, whatever its size.
function play() {
  if (playing) { stop(); return drawReplay(); }
  if (isNow()) at = 0;
  const step = Math.max(1, Math.ceil(run.events.length / 300)), pause = Math.max(50, Math.min(500, 20000 / run.events.length));
  playing = setInterval(() => { if (at >= run.events.length) stop(); goTo(at + step); }, pause);
  goTo(at + 1);
}

function pick(number) {
  if (number === undefined) return;
  const before = picked;
  if (before < 0 && number >= 0) opener = document.activeElement;
  picked = number === before ? -1 : number;
  drawDetails();
  paintGraph();
  taskList && taskList.draw();
  if (picked >= 0) byId("details").querySelector("h2").focus();
  else if (graph.nodes[before] && isTasks() && !(opener && opener.isConnected)) focusNode(before);
  else if (opener && opener.isConnected) opener.focus();
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && picked >= 0) pick(-1);
});

function theme(next) {
  const wanted = next || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.style.colorScheme = next || "light dark";
  byId("theme").textContent = wanted === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", wanted === "dark" ? "Switch to light" : "Switch to dark");
  byId("theme").onclick = () => theme(wanted === "dark" ? "light" : "dark");
}
// A link would put itself where the address says which run is shown.
document.querySelector(".skip").onclick = (event) => {
  event.preventDefault();
  byId(byId("main").hidden ? "gate" : "main").focus();
};
byId("print").addEventListener("click", () => print());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(""));
theme("");
const own = JSON.parse(byId("data").textContent);
if (own) show(own);
else if (typeof connect === "function") connect();
else { byId("main").hidden = false; put(byId("head"), empty("This page has no data.")); }
