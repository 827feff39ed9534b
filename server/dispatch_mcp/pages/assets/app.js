// An app inside of a host: hears of the run from it, reads it through it, and steers it with tools that the host calls.
const live = { turn: 0, stop: null, handle: "", can: {}, sure: false };
const waits = new Map();
let number = 0;

const post = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
const call = (method, params) => new Promise((done, fail) => {
  waits.set(++number, [done, fail]);
  post({ id: number, method, params });
});
async function askRun(handle, query, turn) {
  const answer = await call("resources/read", { uri: `dispatch://runs/${handle}/picture?${query}` });
  if (turn !== live.turn) throw new DOMException("", "AbortError");
  const picture = JSON.parse(answer.contents[0].text);
  return { ...picture, pause_s: RUN_OVER.has(picture.run.state) ? 60 : Math.max(0.5, picture.pause_s) };
}
async function steer(action) {
  try {
    const answer = await call("tools/call", { name: "steer_run", arguments: { run_id: live.handle, action } });
    if (answer.isError) tell(answer.content.map((part) => part.text).join(" "), true);
  } catch (trouble) {
    tell(trouble.message, true);
  }
}
function tell(text, wrong) {
  const steers = run && live.can.serverTools && !isOver();
  const act = (title, action) => button(title, () => { live.sure = action === "ask"; live.sure ? tell("") : steer(action); });
  put(byId("extra"), news(text, wrong), steers && [run.run.state === "paused" ? act("Resume", "resume") : act("Pause", "pause"), live.sure ? act("Really cancel", "cancel") : act("Cancel", "ask")]);
}
// What a call answered: the run that it names, or else its words.
function answered(result) {
  const said = (result.content || []).map((part) => part.text || "").join("\n");
  let answer = result.structuredContent;
  try {
    answer = answer || JSON.parse(said);
  } catch {
    answer = {};
  }
  if (!answer.run_id) return live.handle ? 0 : outside(el("pre", null, said || "No run."));
  if (answer.run_id === live.handle) return 0;
  live.handle = answer.run_id;
  if (live.can.serverResources) return follows_run(live.handle);
  return outside(el("h1", null, bdi(answer.title || answer.run_id)), empty("This host shows no more."), el("pre", null, said));
}
function dress(context) {
  if (context.theme) theme(context.theme);
  for (const [name, value] of Object.entries((context.styles || {}).variables || {})) {
    const own = { "--color-background-primary": "--bg", "--color-text-primary": "--ink" }[name];
    if (own && value) document.documentElement.style.setProperty(own, value);
  }
}
const HEARS = {
  "ui/notifications/tool-result": answered,
  "ui/notifications/tool-cancelled": () => live.handle || outside(empty("The call was cancelled.")),
  "ui/notifications/host-context-changed": dress,
  "ui/resource-teardown": () => { live.turn += 1; },
  ping: () => 0,
};
function hear(event) {
  const message = event.data;
  if (event.source !== parent || !message || message.jsonrpc !== "2.0") return;
  const hears = HEARS[message.method];
  if (message.method) {
    if (hears) hears(message.params || {});
    if (message.id !== undefined) post({ id: message.id, ...(hears ? { result: {} } : { error: { code: -32601, message: "Method not found" } }) });
  } else if (waits.has(message.id)) {
    const [done, fail] = waits.get(message.id);
    waits.delete(message.id);
    if (message.error) fail(Object.assign(new Error(message.error.message), { final: message.error.code === -32602 }));
    else done(message.result);
  }
}
async function connect() {
  for (const id of ["print", "theme"]) byId(id).hidden = true;
  outside(empty("Waiting for a run …"));
  addEventListener("message", hear);
  const answer = await call("ui/initialize", { protocolVersion: "2026-01-26", appInfo: { name: "dispatch", version: "1" }, appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] } });
  live.can = answer.hostCapabilities || {};
  dress(answer.hostContext || {});
  post({ method: "ui/notifications/initialized", params: {} });
  new ResizeObserver(() => post({ method: "ui/notifications/size-changed", params: { width: document.documentElement.scrollWidth, height: document.documentElement.scrollHeight } })).observe(document.body);
}
