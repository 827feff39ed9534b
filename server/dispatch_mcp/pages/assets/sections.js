// The parts of the page beside graph and timeline.
const CEILINGS = { dollars: dollars, tokens: tokens, minutes: (n) => duration(n * 60), attempts: whole.format, tasks: whole.format };

const meter = (parts) => el("div", { class: "meter", "aria-hidden": "true" }, parts.map(([share, state]) => el("i", { class: `s-${state}`, css: { width: `${Math.min(100, share * 100)}%` } })));
const stacked = (counts, total) => meter(seen(counts).map((state) => [counts[state] / total, state]));
const tile = (title, figure, more, under) => el("div", { class: "tile" }, el("dt", null, title), el("dd", null, figure, under, more && el("div", { class: "more" }, more)));

function against(name, used) {
  const ceiling = (run.run.limits || {})[name];
  if (!ceiling) return [null, ""];
  const share = used / ceiling;
  return [meter([[share, share >= 1 ? "failed" : share >= 0.8 ? "unverified" : "running"]]), ` of ${CEILINGS[name](ceiling)}`];
}

function paintHead() {
  const now = isNow(), sum = spent(), info = run.run, counts = tally(states);
  const over = states.filter((state) => FINAL.has(state)).length;
  const spend = now && info.spend ? info.spend : null;
  const cost = spend ? (spend.cost_usd === undefined ? (sum.tokens ? null : 0) : spend.cost_usd) : sum.priced ? sum.cost : null;
  const used = spend ? (spend.input_tokens || 0) + (spend.output_tokens || 0) + (spend.cache_read_tokens || 0) + (spend.cache_write_tokens || 0) : sum.tokens;
  const wall = moment();
  const began = new Date(run.began * 1000);
  const [dollarBar, dollarOf] = against("dollars", cost || 0);
  const [tokenBar, tokenOf] = against("tokens", used);
  const [minuteBar, minuteOf] = against("minutes", wall / 60);
  const [tryBar, tryOf] = against("attempts", sum.attempts);
  const ratio = wall > 0.05 && sum.busy > wall * 1.05 ? `${(sum.busy / wall).toFixed(1)}× faster than one by one: ${duration(sum.busy - wall)} saved` : sum.busy ? `attempts took ${duration(sum.busy)} together` : "";
  const failed = sum.over ? `${whole.format(sum.failed)} of ${whole.format(sum.over)} failed` : "";
  put(byId("head"), 
    titled(el("h1", { id: "title" }, bdi(info.title || info.run_id)), pill(now ? info.state : "running", true), !now && soft("as it was"), info.simulated && pill("simulated")),
    el("p", { class: "meta" }, el("code", null, info.run_id), el("span", null, `plan version ${info.plan_version || 1}`), el("span", null, `worker ${run.worker}`), el("span", null, `at most ${run.max_parallel || 1} at a time`),
      el("time", { datetime: began.toISOString() }, `began ${began.toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}`)),
    el("dl", { class: "tiles" },
      tile("Tasks", [whole.format(over), el("small", null, ` of ${whole.format(states.length)} over`)], listed(counts), stacked(counts, states.length)),
      tile("Spend", [dollars(cost), el("small", null, dollarOf)], cost === null ? "no price is known for some of it" : dollarBar ? "" : "no ceiling in dollars", dollarBar),
      tile("Tokens", [tokens(used), el("small", null, tokenOf)], tokenBar ? "" : spend && spend.cache_read_tokens ? `${tokens(spend.cache_read_tokens)} read from a cache` : "no ceiling in tokens", tokenBar),
      tile("Time", [duration(wall), el("small", null, minuteOf)], ratio, minuteBar),
      tile("Attempts", [whole.format(sum.attempts), el("small", null, tryOf)], failed, tryBar)));
}

function drawNow() {
  const info = run.run, waits = Object.entries(info.blocked || {});
  const next = info.next || (isOver() ? "" : "Nothing has to be done: the run goes on by itself.");
  const open = run.tasks.filter((task) => !FINAL.has(task.state)).length;
  const list = waits.filter(([, why]) => why).map(([id, why]) => el("li", null, bdi(id), ": ", bdi(why)));
  const notes = [...(info.doubts || []), ...(info.losses || [])].map((text) => el("p", null, bdi(text)));
  const rest = (info.follow_ups || []).map((text) => el("li", null, "to do: ", bdi(text)));
  const host = byId("now");
  host.className = `s-${info.state}`;
  put(host, el("h2", null, isOver() ? "What came of it, and what next" : "What waits, and what next"), info.held && el("p", null, "On hold: ", bdi(info.held)), next ? el("p", null, bdi(next)) : empty("Nothing is left to do."), notes,
    list.length + rest.length > 0 && el("ul", { tabindex: "0", "aria-label": "Tasks that wait" }, list, rest, open > list.length && list.length >= 50 && el("li", null, `and more: ${count(open, "task")} not over`)));
}

// Tasks
const filter = { text: "", state: "", from: 0, to: Infinity, rows: [] };
function filterTasks(range) {
  Object.assign(filter, { text: "", state: "", from: 0, to: Infinity }, range);
  drawTasks(byId("tasks").lastElementChild);
  byId("tasks").scrollIntoView();
}
function sift() {
  const text = filter.text.toLowerCase();
  filter.rows = run.tasks.map((_, number) => number).filter((number) => {
    const task = run.tasks[number];
    return task.wave >= filter.from && task.wave <= filter.to && (!filter.state || states[number] === filter.state) && (!text || `${task.id} ${task.goal || ""} ${task.agent || ""}`.toLowerCase().includes(text));
  });
}
let taskList = null;
function drawTasks(host) {
  if (!run.tasks.length) return put(host, empty("The plan has no tasks."));
  sift();
  const counted = el("span", { class: "soft", role: "status" });
  const tell = () => { counted.textContent = filter.rows.length === run.tasks.length ? count(run.tasks.length, "task") : `${whole.format(filter.rows.length)} of ${count(run.tasks.length, "task")}`; };
  const update = () => { sift(); tell(); taskList.draw(); };
  const before = host.querySelector(".tools"), place = before ? [...before.children].indexOf(document.activeElement) : -1;
  const old = place === 0 ? before.firstChild : null, caret = old && [old.selectionStart, old.selectionEnd];
  const search = el("input", { type: "search", value: filter.text, placeholder: "Find a task", "aria-label": "Find a task", on: { input: (event) => { filter.text = event.target.value; update(); } } });
  const counts = tally(states);
  const chip = (text, on, act) => button(text, act, { "aria-pressed": String(on) });
  const chips = seen(counts).map((state) => chip([`${state} `, soft(whole.format(counts[state]))], filter.state === state, () => { filter.state = filter.state === state ? "" : state; drawTasks(host); }));
  const wave = filter.to < Infinity && chip(`${waves(filter.from, filter.to)} ✕`, true, () => filterTasks({}));
  put(host, el("div", { class: "tools" }, search, chips, wave, gap(), counted));
  if (place >= 0) (host.firstChild.children[place] || search).focus({ preventScroll: true });
  if (caret) search.setSelectionRange(...caret);
  taskList = longList(host, {
    label: "Tasks",
    columns: [["task", "minmax(150px,1.2fr)"], ["state", "118px"], ["what is to be done", "minmax(180px,3fr)"], ["by", "minmax(100px,1fr)"], ["wave", "48px", true], ["attempts", "66px", true], ["took", "92px", true]],
    rows: () => filter.rows.length,
    row: (place) => {
      const number = filter.rows[place], task = run.tasks[number];
      const took = tries[number].reduce((sum, one) => sum + (one[5] === null ? Math.max(0, moment() - one[4]) : one[5] - one[4]), 0);
      return { on: number === picked, act: () => pick(number), cells: [link(task.id), pill(states[number]), bdi(task.goal || ""), bdi(task.agent || task.worker || ""), task.wave + 1, task.attempt || 0, took ? duration(took) : "–"] };
    },
  });
  tell();
}

// Cost
function drawCost(host) {
  const byModel = new Map(), rows = [];
  run.tasks.forEach((task, number) => {
    const sum = { number, attempts: tries[number].length, tokens: 0, cost: 0, priced: true, seconds: 0 };
    for (const [, , , , begins, ends, used, cost] of tries[number]) {
      sum.tokens += used;
      sum.cost += cost || 0;
      if (cost === null && used) sum.priced = false;
      if (ends !== null) sum.seconds += ends - begins;
    }
    if (!sum.attempts) return;
    rows.push(sum);
    const model = task.model || `${task.worker}, no model named`;
    const all = byModel.get(model) || { tasks: 0, attempts: 0, tokens: 0, cost: 0, priced: true, seconds: 0 };
    byModel.set(model, { tasks: all.tasks + 1, attempts: all.attempts + sum.attempts, tokens: all.tokens + sum.tokens, cost: all.cost + sum.cost, priced: all.priced && sum.priced, seconds: all.seconds + sum.seconds });
  });
  const total = rows.reduce((sum, row) => sum + row.tokens, 0), money = rows.reduce((sum, row) => sum + row.cost, 0);
  if (!rows.length) return put(host, empty("Nothing has been spent: no attempt has begun."));
  rows.sort((a, b) => b.cost - a.cost || b.tokens - a.tokens || b.seconds - a.seconds);
  const most = Math.max(1e-9, ...rows.slice(0, 1).map((row) => (money ? row.cost : total ? row.tokens : row.seconds)));
  const price = (row) => (row.priced ? dollars(row.cost) : row.cost ? `${dollars(row.cost)} +?` : "–");
  put(host, 
    table(["model", "#tasks", "#attempts", "#tokens", "#cost", "#time at work"], [...byModel].map(([model, row]) => [bdi(model), whole.format(row.tasks), whole.format(row.attempts), tokens(row.tokens), price(row), duration(row.seconds)])),
    !total && !money && empty("Nobody reported tokens, so there is nothing to price; the bars compare time at work."));
  longList(host, {
    label: "Cost by task", columns: [["task", "minmax(150px,1.4fr)"], ["model", "minmax(90px,1fr)"], ["attempts", "70px", true], ["tokens", "90px", true], ["cost", "90px", true], ["time at work", "100px", true], ["share", "minmax(80px,1fr)"]], rows: () => rows.length,
    row: (place) => {
      const row = rows[place], value = money ? row.cost : total ? row.tokens : row.seconds;
      return { act: () => pick(row.number), cells: [link(run.tasks[row.number].id), bdi(run.tasks[row.number].model || "–"), whole.format(row.attempts), tokens(row.tokens), price(row), duration(row.seconds), el("span", { class: "share", css: { width: `${(value / most) * 100}%` } })] };
    },
  });
}

function drawReceipts(host) {
  const rows = Object.entries(run.results).flatMap(([id, result]) => (result.receipts || []).map(([mark, text]) => [id, mark, text]));
  if (!rows.length) return put(host, empty("No receipts yet. A receipt is evidence that the server itself collected: an exit code, a file, what really changed. Work without one is unverified."));
  const order = ["not ok", "unproven", "simulated", "seen", "ok"];
  rows.sort((a, b) => order.indexOf(a[1]) - order.indexOf(b[1]));
  const counts = tally(rows.map((row) => row[1]));
  const place = new Map(run.tasks.map((task, number) => [task.id, number]));
  put(host, el("div", { class: "tools" }, order.filter((mark) => counts[mark]).map((mark) => el("span", null, pill(mark), ` ${whole.format(counts[mark])}`))));
  longList(host, {
    label: "Receipts", columns: [["task", "minmax(150px,1fr)"], ["says", "100px"], ["evidence", "minmax(260px,4fr)"]], rows: () => rows.length,
    row: (number) => ({ act: () => pick(place.get(rows[number][0])), cells: [link(rows[number][0]), pill(rows[number][1]), bdi(rows[number][2])] }),
  });
}

function findingCard(one) {
  const lines = (one.lines || []).map(([mark, number, text, meant]) => el("div", { class: `${{ "+": "plus", "-": "minus" }[mark] || ""}${meant ? " meant" : ""}` }, el("span", null, number), el("span", null, mark), el("span", null, text)));
  const place = one.file ? `${one.file}${one.line ? `:${one.line}` : ""}` : "no place named";
  return el("article", { class: `finding s-${one.severity}` },
    titled(pill(one.severity), one.standing && soft(words(one.standing)), el("bdi", { class: "mono" }, place), soft((one.reviewers || []).map(bdi).flatMap((who, i) => (i ? [", ", who] : [who])))),
    one.claim && el("p", null, bdi(one.claim)),
    lines.length ? region("diff", `Lines of ${place}`, lines) : one.quote && el("pre", { class: "diff", tabindex: "0" }, ` ${one.quote}`),
    one.evidence && el("p", { class: "soft" }, bdi(one.evidence)), one.fix && el("p", null, "Proposed: ", bdi(one.fix)), (one.notes || []).map((note) => el("p", { class: "soft" }, bdi(note))));
}
function drawCouncil(host) {
  if (!run.councils.length && !run.findings.length) return put(host, empty("Nobody reviews in this run. Verdicts would stand here, and findings in the lines that they are about."));
  const verdicts = run.councils.map((one) => el("div", null, titled(pill(one.outcome || "running"), el("h3", null, bdi(one.task || "Decision")), Object.entries(one.verdicts || {}).map(([who, verdict]) => soft(bdi(who), " ", verdict))), one.why && el("p", { class: "soft" }, bdi(one.why))));
  const most = 60;
  const cards = run.findings.slice(0, most).map(findingCard);
  put(host, el("div", { class: "stack" }, verdicts, cards, !cards.length && empty(run.councils.every((one) => one.outcome) ? "No findings." : "No findings yet."), run.findings.length > most && empty(`and ${count(run.findings.length - most, "more finding")}`)));
}

function drawMessages(host) {
  if (!run.messages.length) return put(host, empty("No messages. Agents of a run can leave each other information, requests, warnings and confirmations."));
  const rows = run.messages.slice(-300).map((note) => el("div", { class: "msg" }, titled(el("strong", null, bdi(note.sender), " → ", bdi(note.recipient)), el("span", { class: `pill s-${note.kind === "warning" ? "unverified" : note.kind === "request" ? "running" : "ready"}` }, note.kind), soft(`after ${duration(note.at)}`), soft((note.readers || []).length ? ["read by ", bdi(note.readers.join(", "))] : "not read yet")), el("p", null, bdi(note.text))));
  put(host, ...rows);
}

let eventList = null;
function drawEvents(host) {
  if (!run.events.length) return put(host, empty("Nothing has happened yet."));
  put(host, el("p", { class: "soft tools" }, "Choose an event to see the run as it was then."));
  eventList = longList(host, {
    label: "Events", height: 30, columns: [["", "52px", true], ["after", "92px", true], ["event", "170px"], ["task", "minmax(120px,1fr)"], ["attempt", "62px", true], ["says", "minmax(180px,3fr)"]], rows: () => run.events.length,
    row: (number) => {
      const [seq, when, kind, task, attempt, text] = run.events[number];
      return { on: !isNow() && number === at - 1, act: () => goTo(number + 1), cells: [seq, duration(when), link(words(kind)), task >= 0 ? bdi(run.tasks[task].id) : "", attempt || "", bdi(text)] };
    },
  });
}

// The details of one task
function drawDetails() {
  const host = byId("details");
  host.hidden = picked < 0;
  if (picked < 0) return host.replaceChildren();
  const task = run.tasks[picked], result = run.results[task.id];
  const named = (numbers) => numbers.slice(0, 12).map((number, i) => [i ? ", " : "", link(run.tasks[number].id, () => pick(number))]).flat().concat(numbers.length > 12 ? ` and ${numbers.length - 12} more` : []);
  const facts = [["by", [task.agent, task.worker].filter(Boolean).join(" · ")], ["in place of", task.replaces], ["model", task.model], ["wave", `${task.wave + 1}${task.critical ? ", on the critical path" : ""}`],
    ["waits for", named(task.deps)], ["needed by", named(needed[picked])], ["reviews", task.reviews.join(", ")], ["files", task.files.join(", ")], ["why", words(task.cause || "")], ["waits", (run.run.blocked || {})[task.id]]].filter((fact) => fact[1] && fact[1].length);
  const rows = tries[picked].map(([, number, state, , begins, ends, used, cost]) => [number, pill(state), ends === null ? "at work" : duration(ends - begins), used ? tokens(used) : "–", dollars(cost)]);
  const errors = tries[picked].filter((one) => one[9]).slice(-3).map((one) => el("pre", null, `attempt ${one[1]}: ${one[9]}`));
  put(host, el("div", { class: "top" }, el("h2", { tabindex: "-1" }, bdi(task.id)), button("✕", () => pick(-1), { "aria-label": "Close" })), el("div", null, pill(states[picked])), el("p", null, bdi(task.goal || "")),
    el("dl", null, facts.map(([title, text]) => [el("dt", null, title), el("dd", null, Array.isArray(text) ? text : bdi(text))])), el("h3", null, "Attempts"), rows.length ? table(["#", "state", "#took", "#tokens", "#cost"], rows) : empty("None has begun."), errors,
    result && result.text && [el("h3", null, "Result"), el("pre", { tabindex: "0" }, result.text)], result && (result.receipts || []).length > 0 && [el("h3", null, "Receipts"), el("ul", { class: "stack", css: { "list-style": "none" } }, result.receipts.map(([mark, text]) => el("li", null, pill(mark), " ", bdi(text))))]);
}
