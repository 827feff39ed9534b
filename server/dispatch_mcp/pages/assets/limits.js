// What a run may use: lower it, or agree as a person to a raise that is shown first, with the plan that it is for.
const token = sessionStorage.getItem("dispatch-token") || "";
const match = /^#run=(.+)$/.exec(location.hash);
const NAMES = ["dollars", "tokens", "minutes", "attempts", "tasks", "fan_out"];
const back = () => el("p", null, el("a", { href: `/${location.hash}` }, "Back to the run"));
const show = (...children) => put(byId("gate"), el("h1", null, "What this run may use"), children, back());

async function ask(body) {
  const more = body ? { method: "POST", body: JSON.stringify(body), headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" } } : { headers: { Authorization: `Bearer ${token}` } };
  const answer = await fetch(`/api/runs/${match[1]}/limits`, { cache: "no-store", ...more });
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.error || answer.statusText);
  return document;
}
async function attempt(act) {
  try {
    await act();
  } catch (trouble) {
    byId("gate").querySelector("[role=alert]")?.remove();
    byId("gate").append(el("p", { role: "alert" }, trouble.message));
  }
}
function stands(state, news) {
  const rows = Object.entries(state.limits || {}).map(([name, height]) => [name, whole.format(height)]);
  const name = el("select", { id: "name", "aria-label": "Which ceiling" }, NAMES.map((text) => el("option", { value: text }, text)));
  const height = el("input", { id: "height", type: "number", min: "0", step: "any", required: true, "aria-label": "Its new height" });
  const look = (event) => {
    event.preventDefault();
    attempt(() => change({ limits: { [name.value]: Number(height.value) } }));
  };
  show(el("p", null, bdi(state.title)), rows.length ? table(["ceiling", "#height"], rows) : empty("It has no ceilings."),
    el("form", { class: "tools", on: { submit: look } }, name, height, el("button", { class: "main" }, "Change")),
    empty("Lowering is done at once. A raise is shown to you first."));
  byId("status").textContent = news || "";
}
// Nothing has changed yet when there is a question.
async function change(wish) {
  const answer = await ask(wish);
  if (!answer.question) return stands(answer, "Changed.");
  const agree = () => attempt(() => change({ ...wish, agreed: { plan_digest: answer.plan_digest, raises: answer.raises } }));
  show(el("p", { id: "question" }, bdi(answer.question)), el("div", { class: "tools" }, button("Raise", agree, { class: "main", id: "agree" }), button("Leave it", begin, { id: "keep" })));
  byId("agree").focus();
}
const begin = () => attempt(async () => stands(await ask()));
if (token && match) begin();
else show(empty("Open a run on the dashboard first, and follow its link to here."));
