// Attempts by worker: one row for each that is at work at a time. What dies, is taken over or tried again is marked.
const time = { zoom: 1, box: null, cursor: null, veil: null, x: null, bottom: 0 };
const MOST_BARS = 4000;
const FLAGS = { run_paused: "paused", run_resumed: "resumed", run_cancelled: "cancelled", plan_edited: "plan changed", drive_failed: "the drive failed" };

function lanes() {
  const byWorker = new Map();
  for (const attempt of run.attempts) {
    const worker = attempt[3];
    if (!byWorker.has(worker)) byWorker.set(worker, { worker, free: [], bars: [] });
    const lane = byWorker.get(worker);
    let row = lane.free.findIndex((end) => end <= attempt[4] + 1e-6);
    if (row < 0) row = lane.free.length;
    lane.free[row] = attempt[5] === null ? Infinity : Math.max(attempt[5], attempt[4] + 1e-3);
    lane.bars.push([row, attempt]);
  }
  return [...byWorker.values()].sort((a, b) => (a.worker < b.worker ? -1 : 1));
}

function flags() {
  const marks = [];
  for (const [, when, kind, , , text] of run.events) {
    const epoch = Number((/epoch=(\d+)/.exec(text) || [])[1] || 0);
    const label = kind === "run_adopted" ? epoch > 1 && (/crashed=True/.test(text) ? "taken over after a crash" : "taken over") : FLAGS[kind];
    if (label) marks.push([when, label]);
  }
  return marks.slice(0, 40);
}

function drawTimeline(host) {
  if (!run.attempts.length) {
    time.cursor = null;
    return put(host, empty(isOver() ? "Nothing was attempted in this run." : "Nothing has begun yet. Attempts appear here as soon as a worker starts one."));
  }
  const box = region("scroll", "Timeline");
  const zoom = (by) => {
    time.zoom = Math.min(64, Math.max(1, time.zoom * by));
    drawTimeline(host);
    paintTimeline();
  };
  const tried = run.attempts.filter((attempt) => attempt[1] > 1).length;
  const lost = run.attempts.filter((attempt) => attempt[2] === "abandoned").length;
  const says = [count(run.attempts.length, "attempt"), tried ? count(tried, "retry").replace("retrys", "retries") : "", lost ? `${whole.format(lost)} abandoned` : ""].filter(Boolean).join(" · ");
  put(host, el("div", { class: "tools" }, soft(says), gap(), zooms("the timeline", zoom)), box);
  time.box = box;
  box.append(bars(Math.max(640, page.room) * time.zoom, says));
}

function bars(width, says) {
  const groups = lanes();
  const end = Math.max(0.001, (run.over_at || run.now || run.began) - run.began, ...run.events.slice(-1).map((event) => event[1]), run.attempts.reduce((most, one) => Math.max(most, one[5] || one[4]), 0));
  const left = 92, x = (seconds) => left + (Math.max(0, seconds) / end) * (width - left - 20);
  const total = groups.reduce((sum, group) => sum + group.free.length, 0);
  const row = Math.max(4, Math.min(18, Math.floor(560 / total)));
  const parts = [], marks = flags();
  let y = marks.length ? 52 : 34;
  const top = y - 6;
  for (const group of groups) {
    parts.push(svg("text", { x: 12, y: y + Math.min(12, row) }, group.worker));
    const shapes = group.bars.length > MOST_BARS ? merged(group.bars, x) : group.bars.map(([place, one]) => [place, x(one[4]), x(one[5] === null ? end : one[5]), one[2], one]);
    for (const [place, from, to, state, one] of shapes) {
      const w = Math.max(2, to - from - 1), top = y + place * row;
      const bar = svg("rect", { class: `bar-a s-${state}`, x: from.toFixed(1), y: top, width: w.toFixed(1), height: row - 2, rx: Math.min(3, row / 4) });
      if (one) {
        bar.append(svg("title", null, `${name(one[0])}, attempt ${one[1]}: ${words(state)}, ${duration((one[5] === null ? end : one[5]) - one[4])}${one[8] ? `, ${words(one[8])}` : ""}`));
        bar.dataset.n = one[0];
      }
      parts.push(bar);
      if (one && row >= 14 && w > 30 && state !== "abandoned" && state !== "superseded" && state !== "cancelled") parts.push(svg("text", { class: "in", x: (from + 5).toFixed(1), y: top + row - 6 }, cut((one[1] > 1 ? `↻${one[1]} ` : "") + name(one[0]), Math.floor((w - 8) / 5.6))));
      else if (one && one[1] > 1 && row >= 12 && w > 12) parts.push(svg("text", { class: "dim", x: (from + 2).toFixed(1), y: top + row - 6 }, "↻"));
    }
    y += group.free.length * row + 14;
  }
  time.x = x;
  time.bottom = y;
  const ticks = scale(end, Math.max(4, Math.min(24, Math.floor(width / 150))));
  const grid = ticks.map((tick) => [svg("path", { class: "grid", d: `M${x(tick).toFixed(1)} 28V${y}` }), svg("text", { class: "dim", x: x(tick).toFixed(1), y: 20, "text-anchor": tick ? "middle" : "start" }, tick ? duration(tick).replace(".0 s", " s") : "0")]).flat();
  const flagged = marks.map(([when, label]) => [svg("path", { class: "flag", d: `M${x(when).toFixed(1)} 40V${y}` }), svg("text", { class: "flag-t", x: Math.min(x(when) + 4, width - 150).toFixed(1), y: 46 }, label)]).flat();
  time.veil = svg("rect", { class: "veil", y: top, height: Math.max(0, y - top), width: 0 });
  time.cursor = svg("path", { class: "cursor", d: "" });
  time.width = width;
  return svg("svg", { width, height: y + 6, role: "img", "aria-label": `Attempts over ${duration(end)}: ${says}. The list of tasks has the same as a table.`, on: { click: (event) => event.target.dataset.n && pick(Number(event.target.dataset.n)) } }, grid, parts, flagged, time.veil, time.cursor);
}
const name = (number) => (number >= 0 ? run.tasks[number].id : "a removed task");

// Bars of one row and state that touch on the screen become one.
function merged(list, x) {
  const open = new Map(), done = [];
  for (const [place, one] of list) {
    const from = x(one[4]), to = x(one[5] === null ? one[4] : one[5]);
    const last = open.get(place);
    if (last && last[3] === one[2] && from - last[2] < 1.5) last[2] = Math.max(last[2], to);
    else {
      if (last) done.push(last);
      open.set(place, [place, from, to, one[2], null]);
    }
  }
  return [...done, ...open.values()];
}
function scale(end, most) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800];
  const step = steps.find((one) => end / one <= most) || Math.ceil(end / most);
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, i) => i * step);
}
function paintTimeline() {
  if (!time.cursor) return;
  const x = time.x(moment());
  time.cursor.setAttribute("d", isNow() ? "" : `M${x.toFixed(1)} 28V${time.bottom}`);
  time.veil.setAttribute("x", x.toFixed(1));
  time.veil.setAttribute("width", isNow() ? 0 : Math.max(0, time.width - x));
}
