// Refreshes the live parts of a page, and runs the actions of its buttons.
"use strict";

const live = () => [...document.querySelectorAll("[data-live]")];
const notice = document.getElementById("notice");
// A page that is loaded again once the queue, and a proxy before it, can be reached.
const again = document.querySelector("[data-again]") !== null;
const AWAY = [502, 503, 504];

// Shows a text for some seconds.
function say(text) {
  notice.textContent = text;
  notice.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { notice.hidden = true; }, 6000);
}

// Controls that need this script are hidden without it.
function reveal() {
  for (const each of document.querySelectorAll("[data-action], [data-edit], [data-copy], td.pick input, #all")) {
    each.hidden = false;
  }
}

// What a person is using is not replaced under them.
function inUse(part) {
  if (part.querySelector("input:checked")) return true;
  const focused = document.activeElement;
  const selection = document.getSelection();
  return (part.contains(focused) && focused !== part) ||
    (!selection.isCollapsed && part.contains(selection.anchorNode));
}

async function refresh() {
  const url = new URL(location.href);
  url.searchParams.delete("show"); // each reading of a body is recorded
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  if (response.status === 401) return location.reload();
  if (again && !AWAY.includes(response.status)) return location.reload();
  if (response.status === 404 || response.status === 410) return;
  if (!response.ok) throw new Error(response.statusText);
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of live()) {
    const next = fresh.getElementById(part.id);
    if (!next || inUse(part) || part.innerHTML === next.innerHTML) continue;
    part.replaceChildren(...next.childNodes);
  }
  refreshLogs(fresh.getElementById("logs"));
  reveal();
  choose();
}

// Adds new lines in place, so that what a person has opened, scrolled or selected stays.
function refreshLogs(fresh) {
  const logs = document.getElementById("logs");
  if (!logs || !fresh) return;
  logs.closest("section").hidden = fresh.closest("section").hidden;
  for (const next of fresh.children) {
    const part = document.getElementById(next.id);
    if (!part) {
      logs.append(next.cloneNode(true));
      continue;
    }
    const pre = part.querySelector("pre");
    const [old, text] = [pre.textContent, next.querySelector("pre").textContent];
    const atEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 4;
    if (text.startsWith(old)) pre.append(text.slice(old.length));
    else if (!inUse(pre)) pre.textContent = text;
    part.querySelector("summary").textContent = next.querySelector("summary").textContent;
    if (atEnd) pre.scrollTop = pre.scrollHeight;
  }
}

const own = Number(document.body.dataset.refresh); // of this page, in seconds; 0: never
const interval = document.getElementById("refresh");
let waiting;

// How often a person wants pages to be refreshed is kept for all pages of this browser.
interval.value = localStorage.getItem("refresh") ?? "";
interval.parentElement.hidden = !own || again;
interval.addEventListener("change", () => {
  localStorage.setItem("refresh", interval.value);
  schedule();
});

function schedule() {
  clearTimeout(waiting);
  const seconds = again || interval.value === "" ? own : own && Number(interval.value);
  if (seconds && !document.hidden) waiting = setTimeout(tick, seconds * 1000);
}

async function tick() {
  clearTimeout(waiting);
  if (document.hidden || !own) return;
  try {
    await refresh();
    document.getElementById("offline").hidden = true;
  } catch {
    document.getElementById("offline").hidden = again;
  }
  schedule();
}

document.addEventListener("visibilitychange", () => { if (again || interval.value === "") tick(); else schedule(); });
schedule();

// The answer to the last question. The close event of a dialog comes some time after it is closed:
// the next question waits for it, so that it is not taken for its own.
let answered = Promise.resolve();

function ask(dialog, fill) {
  answered = answered.then(() => {
    fill();
    dialog.returnValue = "no";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    });
  });
  return answered;
}

// Asks before something that cannot be undone.
function confirmed(text, verb) {
  const dialog = document.getElementById("question");
  return ask(dialog, () => {
    document.getElementById("question-text").textContent = text;
    dialog.querySelector("[value=yes]").textContent = verb;
  });
}

// Sends a request that changes something, with a JSON body if there is a value.
function send(method, url, value) {
  const body = value && JSON.stringify(value);
  return fetch(url, { method, headers: { "Content-Type": "application/json" }, body });
}

async function act(url, action, { job, webhook }) {
  const response = await (action === "delete" ? send("DELETE", url)
    : send("POST", `${url}/${action}`, job || webhook ? { job, webhook: webhook || undefined } : undefined));
  const answer = await response.json().catch(() => ({}));
  return response.ok ? { done: answer } : { refused: answer.detail || response.statusText };
}

const VERBS = { cancel: "Cancel", retry: "Retry", delete: "Delete", "run-now": "Run now", pause: "Pause", resume: "Resume", run: "Run now", replay: "Replay", "replay-all": "Replay" };
const ASKED = ["cancel", "delete"];

async function actOnOne(button) {
  const action = button.dataset.action;
  const verb = VERBS[action];
  const question = button.dataset.ask || ASKED.includes(action) && `${verb} this job?`;
  if (question && !await confirmed(question, verb)) return;
  const api = button.closest("[data-api]").dataset.api;
  const { done, refused } = await act(api, action, button.dataset);
  if (refused) return say(refused);
  if (action === "run") return location.assign(location.pathname.replace(/[^/]+$/, `jobs/${done.id}`));
  if (action === "delete") return location.assign(location.pathname.replace(/\/[^/]+$/, ""));
  const { replayed, skipped } = done;
  say(replayed === undefined ? `${verb}: done` : `${verb}: ${replayed} done${skipped ? `, ${skipped} skipped, because their webhook gets no more events` : ""}`);
  button.blur();
  tick();
}

// Submits a job's input again, edited by a person.
async function submitAgain(button) {
  const api = button.closest("[data-api]").dataset.api;
  const read = await fetch(`${api}/body`);
  if (!read.ok) return say("The input cannot be read.");
  const bytes = await read.arrayBuffer();
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    text = null; // bytes that are not text are sent again as they are
  }
  const dialog = document.getElementById("editor");
  const area = dialog.querySelector("textarea");
  const submitted = await ask(dialog, () => {
    area.value = text ?? `(${bytes.byteLength} bytes that are not text)`;
    area.disabled = text === null;
  });
  if (!submitted) return;
  const edited = text === null || area.value === text ? {} : { text: area.value };
  const response = await send("POST", `${api}/resubmit`, edited);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) return say(answer.errors?.[0]?.detail || answer.detail || response.statusText);
  location.assign(location.pathname.replace(/[^/]+$/, answer.id));
}

const boxes = () => [...document.querySelectorAll("td.pick input")];
const chosen = () => boxes().filter((box) => box.checked);

const every = document.getElementById("every");
const everyChosen = () => every?.getAttribute("aria-pressed") === "true";

// Shows what the selected jobs offer.
function choose() {
  const bulk = document.getElementById("bulk");
  if (!bulk) return;
  const count = chosen().length;
  // No action on many jobs takes the end of an id.
  const whole = count > 0 && count === boxes().length && document.querySelector("a[rel=next]") &&
    !new URLSearchParams(location.search).get("id");
  const due = chosen().every((box) => box.dataset.state === "Scheduled");
  bulk.hidden = count === 0;
  every.hidden = !whole;
  if (!whole) every.setAttribute("aria-pressed", "false");
  bulk.querySelector("[data-bulk=run-now]").hidden = everyChosen() || !due;
  document.getElementById("chosen").textContent = everyChosen() ? "All jobs that match are selected"
    : `${count} job${count === 1 ? "" : "s"} selected`;
}

// Begins an action on many jobs and follows it; returns how it ended, or the problem.
async function carryOut(body, verb) {
  const api = document.getElementById("jobs").dataset.api.replace(/jobs$/, "actions");
  let response = await send("POST", api, body);
  let action = await response.json().catch(() => ({}));
  while (response.ok && action.state === "Running") {
    const room = action.waitingForRoom ? ", waits for room in the queue" : "";
    say(body.dryRun ? `${action.matched} jobs found` : `${verb}: ${action.done} done${room}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
    response = await fetch(`${api}/${action.id}`);
    action = await response.json().catch(() => ({}));
  }
  if (response.ok) return action;
  say(action.detail || response.statusText);
  return null;
}

// What the page's filters name.
function filter() {
  const query = new URLSearchParams(location.search);
  const given = {};
  for (const name of ["state", "job", "key", "schedule", "error", "since", "until"]) {
    // In a query a "+" is often sent as it is, and then means a space.
    const value = ["since", "until"].includes(name) ? query.get(name)?.replace(" ", "+") : query.get(name);
    if (value) given[name] = value;
  }
  const tags = query.getAll("tag").filter(Boolean);
  if (tags.length) given.tag = tags;
  return given;
}

// Runs scheduled jobs of this page one by one; returns how many were, as an action does.
async function runNow(ids) {
  const api = document.getElementById("jobs").dataset.api;
  const ended = { state: "Done", done: 0, skipped: 0 };
  for (const id of ids) {
    const { refused } = await act(`${api}/${id}`, "run-now", {});
    ended[refused ? "skipped" : "done"] += 1;
  }
  return ended;
}

async function actOnMany(name) {
  const verb = VERBS[name];
  const action = name === "delete" ? "purge" : name;
  const ids = chosen().map((box) => box.value);
  const body = everyChosen() ? { action, filter: filter(), all: true } : { action, ids };
  let count = ids.length;
  if (everyChosen()) {
    const counted = await carryOut({ ...body, dryRun: true }, verb);
    if (!counted) return;
    count = counted.matched;
  }
  const noun = `${count.toLocaleString("en")} job${count === 1 ? "" : "s"}`;
  if (!await confirmed(`${verb} ${noun}?`, `${verb} ${noun}`)) return;
  const ended = await (name === "run-now" ? runNow(ids) : carryOut(body, verb));
  if (!ended) return;
  for (const box of boxes()) box.checked = false;
  document.getElementById("all").checked = false;
  const { done, skipped, state } = ended;
  const aborted = state === "Aborted" ? " until it was aborted" : "";
  say(`${verb}: ${done} done${aborted}${skipped ? `, ${skipped} skipped, because their state has changed or does not allow it` : ""}`);
  choose();
  tick();
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    say("This browser does not let pages copy.");
  }
}

async function abort(button) {
  const response = await send("DELETE", button.dataset.abort);
  say(response.ok ? "Aborted: what was done stays" : response.statusText);
  button.blur();
  tick();
}

// Logs out at once; without this script the link leads to a page with the button.
document.querySelector("a.logout").addEventListener("click", async (event) => {
  event.preventDefault();
  const response = await send("DELETE", "/api/v1/session");
  if (response.ok || response.status === 401) location.replace("/");
  else say(response.statusText);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.action) actOnOne(button);
  if (button?.dataset.edit !== undefined) submitAgain(button);
  if (button?.dataset.bulk) actOnMany(button.dataset.bulk);
  if (button?.dataset.abort) abort(button);
  if (button?.dataset.copy) copy(button.dataset.copy);
  if (button && button === every) {
    every.setAttribute("aria-pressed", String(!everyChosen()));
    choose();
  }
});

// Filters that are empty stay out of the URL.
document.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value && formData.getAll(name).length === 1) formData.delete(name);
});

document.addEventListener("change", (event) => {
  if (event.target.id === "all") for (const box of boxes()) box.checked = event.target.checked;
  if (event.target.closest(".pick")) choose();
});

reveal();
choose();
