// The run as the page has it, and as it was after any of its events.
const DONE = new Set(["succeeded", "unverified"]);
const FINAL = new Set(["succeeded", "unverified", "failed", "skipped", "cancelled"]);
const ORDER = ["succeeded", "unverified", "running", "failed", "skipped", "cancelled", "ready", "blocked"];
const RUN_OVER = new Set(["succeeded", "partial", "needs_changes", "failed", "cancelled", "inconclusive"]);
// The picture
let run = null;
// How many events are replayed; all of them is now
let at = 0;
// Whether the page stays at the newest event
let follows = true;
// The task in the details
let picked = -1;
// State of each task, after the event at which the replay stands
let states = [];
// Attempts of each task
let tries = [];
// Who waits for each task
let needed = [];

// Event: [seq, at, kind, task, attempt, text, becomes]; attempt: [task, number, state, worker, begins, ends, tokens, cost, kind, error]
function adopt(next) {
  if (next.after && run) {
    const last = run.events.length ? run.events[run.events.length - 1][0] : 0;
    next.events = run.events.concat((next.events || []).filter((event) => event[0] > last));
    next.results = { ...run.results, ...next.results };
    if (next.changes) {
      next.attempts = run.attempts.filter((attempt) => !next.changes[attempt[0]]).concat(next.attempts || []).sort((a, b) => a[4] - b[4]);
      next.extra_edges = run.extra_edges;
      next.tasks = run.tasks.map((task, number) => next.changes[number] || task);
    }
  }
  run = { tasks: [], attempts: [], events: [], results: {}, councils: [], findings: [], messages: [], extra_edges: [], waves: 0, ...next };
  run.tasks = run.tasks.map((task) => ({ deps: [], files: [], reviews: [], wave: 0, ...task }));
  tries = run.tasks.map(() => []);
  needed = run.tasks.map(() => []);
  for (const attempt of run.attempts) if (attempt[0] >= 0) tries[attempt[0]].push(attempt);
  run.tasks.forEach((task, number) => task.deps.forEach((dep) => needed[dep] && needed[dep].push(number)));
  if (follows || at > run.events.length) at = run.events.length;
  replay();
}
const isNow = () => at >= run.events.length;
const isOver = () => RUN_OVER.has(run.run.state);
const moment = () => (isNow() ? (run.over_at || run.now || run.began) - run.began : at ? run.events[at - 1][1] : 0);

function replay() {
  if (isNow()) {
    states = run.tasks.map((task) => task.state);
    return;
  }
  states = run.tasks.map(() => "blocked");
  for (let i = 0; i < at; i++) {
    const event = run.events[i];
    if (event[6] && event[3] >= 0) states[event[3]] = event[6];
    else if (event[2] === "run_cancelled") states = states.map((state) => (FINAL.has(state) ? state : "cancelled"));
  }
  run.tasks.forEach((task, number) => {
    if (states[number] === "blocked" && task.deps.every((dep) => DONE.has(states[dep]) || states[dep] === "skipped")) states[number] = "ready";
  });
}

const seen = (counts) => ORDER.filter((state) => counts[state]);
const listed = (counts) => seen(counts).map((state) => `${whole.format(counts[state])} ${state}`).join(", ");
function tally(list) {
  const counts = {};
  for (const state of list) counts[state] = (counts[state] || 0) + 1;
  return counts;
}

// What was spent up to the moment that is shown: of attempts that are over, and all of it now.
function spent() {
  const until = moment();
  const sum = { tokens: 0, cost: 0, priced: true, attempts: 0, failed: 0, over: 0, busy: 0 };
  for (const [, , state, , begins, ends, used, cost] of run.attempts) {
    if (begins > until) continue;
    sum.attempts += 1;
    sum.busy += Math.max(0, Math.min(ends === null ? until : ends, until) - begins);
    if (ends === null || ends > until) continue;
    sum.over += 1;
    sum.failed += state === "failed" || state === "timed_out" || state === "abandoned" ? 1 : 0;
    sum.tokens += used;
    if (cost === null && used > 0) sum.priced = false;
    sum.cost += cost || 0;
  }
  return sum;
}
