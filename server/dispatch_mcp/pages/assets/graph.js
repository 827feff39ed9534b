// The plan in layers: a layer is a wave. Above MOST_NODES tasks each layer is one box with its states.
const MOST_NODES = 600;
const MOST_LAYERS = 60;
const graph = { scale: 0, nodes: [], layers: [], canvas: null, size: [0, 0], marked: null };

function layersOf(tasks) {
  const layers = [];
  tasks.forEach((task, number) => (layers[task.wave] = layers[task.wave] || []).push(number));
  for (let i = 0; i < layers.length; i++) layers[i] = layers[i] || [];
  return layers;
}

// Moves the tasks of each layer to where their neighbours are, so that few edges cross.
function untangle(layers, tasks) {
  const place = new Float64Array(tasks.length);
  const settle = () => layers.forEach((layer) => layer.forEach((number, i) => (place[number] = (i + 0.5) / layer.length)));
  const mean = (list, otherwise) => (list.length ? list.reduce((sum, n) => sum + place[n], 0) / list.length : otherwise);
  settle();
  for (let sweep = 0; sweep < 4; sweep++) {
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) {
      const key = new Map(layer.map((number) => [number, mean(sweep % 2 ? needed[number] : tasks[number].deps, place[number])]));
      layer.sort((a, b) => key.get(a) - key.get(b) || a - b);
    }
    settle();
  }
}

function arrange(layers, tasks) {
  const many = tasks.length > 120;
  const [w, h, gapX, gapY] = many ? [150, 26, 56, 8] : [184, 44, 64, 14];
  const tallest = layers.reduce((most, layer) => Math.max(most, layer.length), 1);
  const rows = tallest <= 16 ? tallest : Math.min(24, Math.max(16, Math.ceil(Math.sqrt(tallest * 2.2))));
  const used = Math.max(1, ...layers.map((layer) => Math.min(rows, layer.length)));
  const spots = [], heads = [];
  let x = 24;
  layers.forEach((layer, wave) => {
    const columns = Math.max(1, Math.ceil(layer.length / rows));
    const deep = Math.ceil(layer.length / columns);
    heads.push([x, wave, layer.length]);
    layer.forEach((number, i) => {
      const column = Math.floor(i / deep);
      const here = Math.min(deep, layer.length - column * deep);
      spots[number] = [x + column * (w + 12), 44 + ((used - here) / 2 + (i % deep)) * (h + gapY)];
    });
    x += columns * (w + 12) - 12 + gapX;
  });
  return { spots, heads, w, h, many, width: x - gapX + 24, height: 44 + used * (h + gapY) - gapY + 24 };
}

const curve = ([x1, y1], [x2, y2]) => {
  const bend = Math.max(24, (x2 - x1) / 2);
  return `M${x1.toFixed(1)} ${y1.toFixed(1)}C${(x1 + bend).toFixed(1)} ${y1.toFixed(1)} ${(x2 - bend).toFixed(1)} ${y2.toFixed(1)} ${x2.toFixed(1)} ${y2.toFixed(1)}`;
};
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function drawGraph(host) {
  graph.nodes = [];
  graph.layers = [];
  if (!run.tasks.length) return put(host, empty("The plan has no tasks."));
  const box = region("scroll", "Graph of the plan");
  put(host, el("div", { class: "tools" }, key(), gap(), zooms("the graph", (by) => scaleTo(graph.scale * by))), box);
  graph.box = box;
  box.append(isTasks() ? taskGraph() : layerGraph());
  scaleTo(0);
}
const key = () => el("div", { class: "key", "aria-hidden": "true" }, ["succeeded", "unverified", "running", "failed", "ready", "blocked"].map((state) => el("span", null, el("b", { class: `s-${state}` }), state)),
  el("span", null, svg("svg", { width: 22, height: 8 }, svg("path", { class: "edge crit", d: "M0 4H22" })), "critical path"));

function scaleTo(scale) {
  const [width, height] = graph.size;
  const room = page.room;
  graph.scale = Math.min(2, Math.max(0.3, scale || Math.max(0.72, Math.min(1, room / width))));
  graph.canvas.setAttribute("width", Math.max(room, width * graph.scale));
  graph.canvas.setAttribute("height", height * graph.scale);
}
function canvas(width, height, label, children) {
  graph.size = [width, height];
  const on = (event) => { const group = event.target.closest(".node"); return group ? Number(group.dataset.n) : -1; };
  graph.canvas = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label, on: { click: (event) => open(on(event)), keydown: (event) => walk(event, on(event)) } }, children);
  return graph.canvas;
}

function taskGraph() {
  const layers = layersOf(run.tasks);
  untangle(layers, run.tasks);
  graph.layers = layers;
  const { spots, heads, w, h, many, width, height } = arrange(layers, run.tasks);
  const extra = new Set(run.extra_edges.map(([from, to]) => `${from} ${to}`));
  const lines = { plain: "", crit: "", added: "" };
  const link = (from, to) => curve([spots[from][0] + w, spots[from][1] + h / 2], [spots[to][0], spots[to][1] + h / 2]);
  graph.link = link;
  run.tasks.forEach((task, to) => task.deps.forEach((from) => {
    const critical = task.critical && run.tasks[from].critical;
    lines[critical ? "crit" : extra.has(`${from} ${to}`) ? "added" : "plain"] += link(from, to);
  }));
  graph.marked = svg("path", { class: "edge on", d: "" });
  const edges = [svg("path", { class: "edge", d: lines.plain }), svg("path", { class: "edge added", d: lines.added }), svg("path", { class: "edge crit", d: lines.crit }), graph.marked];
  const titles = heads.map(([x, wave, size]) => svg("text", { class: "dim", x, y: 24 }, `Wave ${wave + 1} · ${size}`));
  graph.nodes = run.tasks.map((task, number) => node(task, number, spots[number], w, h, many));
  return canvas(width, height, `${count(run.tasks.length, "task")} in ${count(layers.length, "wave")}`, [edges, titles, graph.nodes.map((one) => one.group)]);
}

function node(task, number, [x, y], w, h, many) {
  const mark = svg("text", { class: "mark", x: w - 14, y: many ? 17 : 18 });
  const title = svg("title"), by = many ? "" : cut(task.agent || task.worker || "", 26);
  const group = svg("g", { class: "node", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, role: "button", tabindex: number ? "-1" : "0", "data-n": number },
    title, svg("rect", { class: "box", width: w, height: h, rx: 6 }), svg("rect", { class: "side", x: 0, y: 6, width: 3, height: h - 12, rx: 1.5 }),
    svg("text", { x: 14, y: many ? 17 : 18 }, cut(task.id, many ? 17 : 21)), by && svg("text", { class: "dim", x: 14, y: 34 }, by), mark);
  return { group, mark, title };
}

const isTasks = () => run.tasks.length <= MOST_NODES;
function open(number) {
  if (number < 0) return;
  if (isTasks()) pick(number);
  else filterTasks({ from: graph.nodes[number].from, to: graph.nodes[number].to });
}
// Arrow keys walk along dependencies and within a wave.
function walk(event, number) {
  if (number < 0) return;
  if (event.key === "Enter" || event.key === " ") open(number);
  else if (!isTasks()) return;
  else {
    const layer = graph.layers[run.tasks[number].wave], place = layer.indexOf(number);
    const next = { ArrowRight: needed[number][0], ArrowLeft: run.tasks[number].deps[0], ArrowDown: layer[place + 1], ArrowUp: layer[place - 1] }[event.key];
    if (next === undefined) return;
    focusNode(next);
  }
  event.preventDefault();
}
function focusNode(number) {
  graph.nodes.forEach((one) => one.group.setAttribute("tabindex", "-1"));
  graph.nodes[number].group.setAttribute("tabindex", "0");
  graph.nodes[number].group.focus();
}

const waves = (from, to) => (from === to ? `Wave ${from + 1}` : `Waves ${from + 1}–${to + 1}`);
function layerGraph() {
  const layers = layersOf(run.tasks);
  const group = Math.ceil(layers.length / MOST_LAYERS);
  const blocks = [];
  for (let i = 0; i < layers.length; i += group) blocks.push([i, Math.min(layers.length, i + group) - 1, layers.slice(i, i + group).flat()]);
  const [w, h, gap, perRow] = [178, 92, 40, Math.max(3, Math.floor(page.room / 222))];
  const spot = (i) => [24 + (i % perRow) * (w + gap), 24 + Math.floor(i / perRow) * (h + gap)];
  const lines = blocks.slice(1).map((_, i) => {
    const [a, b] = [spot(i), spot(i + 1)];
    return b[1] === a[1] ? `M${a[0] + w} ${a[1] + h / 2}H${b[0]}` : `M${a[0] + w / 2} ${a[1] + h}V${a[1] + h + gap / 2}H${b[0] + w / 2}V${b[1]}`;
  });
  graph.layers = blocks;
  graph.nodes = blocks.map(([from, to, members], i) => {
    const label = waves(from, to);
    const parts = ORDER.map((state) => svg("rect", { class: `side s-${state}`, y: 64, height: 8 }));
    const line = svg("text", { class: "dim", x: 14, y: 50 }), title = svg("title");
    const [x, y] = spot(i);
    const box = svg("g", { class: "node", transform: `translate(${x} ${y})`, role: "button", tabindex: "0", "data-n": i },
      title, svg("rect", { class: "box", width: w, height: h, rx: 6 }), svg("text", { x: 14, y: 26 }, label), svg("text", { class: "dim", x: w - 14, y: 26, "text-anchor": "end" }, count(members.length, "task")), line, parts);
    return { group: box, from, to, members, parts, line, title, label, w: w - 28 };
  });
  const width = 48 + Math.min(perRow, blocks.length) * (w + gap) - gap;
  return canvas(width, 48 + Math.ceil(blocks.length / perRow) * (h + gap) - gap, `${count(run.tasks.length, "task")} in ${count(layers.length, "wave")}, a box for each wave`, [svg("path", { class: "edge", d: lines.join("") }), graph.nodes.map((one) => one.group)]);
}

function paintGraph() {
  if (!isTasks()) return paintLayers();
  graph.nodes.forEach((one, number) => {
    const state = states[number], on = number === picked, look = `${state}${on}`;
    if (one.look === look) return;
    one.look = look;
    one.group.setAttribute("class", `node s-${state}${on ? " on" : ""}`);
    one.mark.textContent = MARKS[state] || "";
    const task = run.tasks[number];
    one.title.textContent = `${task.id}, ${words(state)}, wave ${task.wave + 1}${task.critical ? ", critical path" : ""}: ${task.goal || ""}`;
  });
  const near = picked < 0 ? [] : [...run.tasks[picked].deps.map((dep) => graph.link(dep, picked)), ...needed[picked].map((next) => graph.link(picked, next))];
  graph.marked && graph.marked.setAttribute("d", near.join(""));
}
function paintLayers() {
  for (const one of graph.nodes) {
    const counts = tally(one.members.map((number) => states[number]));
    let x = 14;
    ORDER.forEach((state, place) => {
      const width = ((counts[state] || 0) / one.members.length) * one.w;
      one.parts[place].setAttribute("x", x.toFixed(2));
      one.parts[place].setAttribute("width", width.toFixed(2));
      one.parts[place].setAttribute("fill-opacity", state === "blocked" || state === "ready" ? 0.3 : 1);
      x += width;
    });
    one.line.textContent = cut(listed(counts), 27);
    one.title.textContent = `${one.label}: ${listed(counts)}`;
  }
}
