// The dashboard: asks the server that it came from, with a token that stays in this tab.
const KEY = "dispatch-token";
const live = { token: sessionStorage.getItem(KEY) || "", turn: 0, stop: null };

async function ask(path, turn) {
  live.stop = new AbortController();
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${live.token}` }, signal: live.stop.signal, cache: "no-store" });
  if (turn !== live.turn) throw new DOMException("", "AbortError");
  if (answer.status === 401) {
    forget("This token is not known here.");
    throw new DOMException("", "AbortError");
  }
  const body = await answer.json();
  if (answer.ok) return body;
  throw Object.assign(new Error(body.error || answer.statusText), { final: answer.status === 404 || answer.status === 400 });
}
const askRun = (handle, query, turn) => ask(`/api/runs/${handle}?${query}`, turn);
function forget(why) {
  sessionStorage.removeItem(KEY);
  live.token = "";
  live.turn += 1;
  gate(why);
}
function gate(why) {
  tell("");
  const input = el("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", size: "48" });
  const enter = (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (!/^[!-~]+$/.test(token)) return gate("This is no token.");
    live.token = token;
    sessionStorage.setItem(KEY, live.token);
    route();
  };
  outside(el("h1", null, "Your runs"), el("form", { class: "tools", on: { submit: enter } }, el("label", { for: "token" }, "Token"), input, el("button", { class: "main" }, "Show")),
    why && el("p", { role: "alert" }, why), empty("The server printed one at its first start; dispatch-mcp token add NAME makes another."));
  input.focus();
}
function tell(text, wrong) {
  put(byId("extra"), live.token && location.hash && button("All runs", () => { location.hash = ""; }), run && location.hash && !isOver() && el("a", { href: `/limits${location.hash}` }, "Limits"), news(text, wrong), live.token && button("Forget token", () => forget(""), { class: "quiet" }));
}
function follows_list() {
  let seen = "", all = [], cursor;
  const add = (list, older) => {
    const ids = new Set(list.map((one) => one.run_id)), rest = all.filter((one) => !ids.has(one.run_id));
    all = older ? rest.concat(list) : list.concat(rest);
    runs(all, cursor && more);
  };
  const more = async () => {
    try {
      const answer = await ask(`/api/runs?cursor=${cursor}`, live.turn);
      cursor = answer.cursor;
      add(answer.runs || [], true);
    } catch (trouble) {
      if (trouble.name !== "AbortError") tell("No answer", true);
    }
  };
  document.title = "Your runs";
  outside(empty("Reading …"));
  return follow(async (turn) => {
    const answer = await ask(`/api/runs?digest=${seen}`, turn);
    if (!seen) cursor = answer.cursor;
    seen = answer.digest;
    if (!answer.cursor) all = [];
    add(answer.runs || []);
    return answer.pause_s;
  });
}
function runs(list, more) {
  const open = list.filter((one) => !RUN_OVER.has(one.state));
  const line = (one) => {
    const counts = one.counts || {}, total = Object.values(counts).reduce((sum, n) => sum + n, 0) || 1;
    return [[link(one.title || one.run_id, () => { location.hash = `run=${one.run_id}`; }), el("div", { class: "soft mono" }, one.run_id)], pill(one.state), [one.progress, stacked(counts, total)], one.age, bdi((one.waits || []).join("; ") || (one.ownerless ? "nobody carries it on" : ""))];
  };
  const heads = ["run", "state", "tasks over", "#began, ago", "waits for"];
  const part = (title, rows) => rows.length > 0 && [el("h2", null, title), table(heads, rows.map(line))];
  outside(el("h1", null, "Your runs"), part("Open", open), part("Over", list.filter((one) => !open.includes(one))), !list.length && empty("No runs yet."), more && button("More", more));
  document.body.dataset.whole = "list";
}
function route() {
  if (!live.token) return gate("");
  const match = /^#run=(.+)$/.exec(location.hash);
  return match ? follows_run(match[1]) : follows_list();
}
function connect() {
  addEventListener("hashchange", route);
  route();
}
