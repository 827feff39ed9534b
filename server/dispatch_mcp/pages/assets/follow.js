// What a page does that stays open: it asks for news, and shows something else where there is no run.
function outside(...children) {
  for (const id of ["main", "replay", "details"]) byId(id).hidden = true;
  byId("nav").replaceChildren();
  byId("gate").hidden = false;
  put(byId("gate"), children);
}
const news = (text, wrong) => text && el("span", { class: `pill s-${wrong ? "unverified" : "running"}`, role: "status" }, text);
// Asks again and again, with a pause that grows while nobody answers.
async function follow(look) {
  const turn = ++live.turn;
  if (live.stop) live.stop.abort();
  for (let pause = 60; turn === live.turn; ) {
    try {
      pause = 1000 * await look(turn);
      tell("live");
    } catch (trouble) {
      if (trouble.name === "AbortError" || turn !== live.turn) return;
      if (trouble.final) return outside(el("h1", null, "Not here"), empty(trouble.message));
      tell("No answer; trying again", true);
      pause = Math.min(8000, pause * 3);
    }
    await new Promise((done) => setTimeout(done, pause));
  }
}
function follows_run(handle) {
  run = null;
  [at, picked, drawnGraph, follows] = [0, -1, "", true];
  outside(empty("Reading …"));
  return follow(async (turn) => {
    const last = run && run.events.length ? run.events[run.events.length - 1][0] : 0;
    const answer = await askRun(encodeURIComponent(handle), `after=${last}&revision=${run ? run.revision : -1}`, turn);
    if (!run || answer.revision !== run.revision || answer.events) show(answer);
    return answer.pause_s;
  });
}
