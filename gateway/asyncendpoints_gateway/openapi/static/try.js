// The "Try it" forms: each builds a request, shows it as a curl command and sends it. The job of an
// accepted request is followed until it is final.

const FINAL = ["Completed", "Failed", "Canceled"];
const WAIT = 20;
const SHOWN = 100000; // characters of a response that are shown
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

function inputOf({ name, in: where, required, schema }) {
  const given = { name, "data-in": where, required: required && where === "path" };
  const choices = schema.enum || (schema.type === "boolean" ? [true, false] : null);
  if (choices) {
    return h("select", given, h("option", { value: "" }, ""), choices.map((each) => h("option", {}, String(each))));
  }
  const numeric = schema.type === "integer" || schema.type === "number";
  // A browser removes such a segment, however it is encoded.
  const segment = where === "path" && { pattern: "(?!\\.{1,2}$).*", title: "Must not be . or .." };
  const job = where === "path" && name === "id" ? { list: "jobs", "data-job": true, placeholder: "the id of a job" } : {};
  return h("input", { ...given, ...segment, ...job, inputmode: numeric && "decimal", autocomplete: "off", spellcheck: "false" });
}

function formView(path, method, operation, parameters, content) {
  const fields = parameters.map((each) => h("label", {}, h("span", {}, each.name,
    each.required && h("span", { class: "required" }, "required")), inputOf(each)));
  const answer = h("div", { class: "answer", "aria-live": "polite" });
  const curl = pre({ class: "curl" });
  const form = h("form", { "data-method": method.toUpperCase(), "data-path": path },
    h("div", { class: "row" }, fields, operation.tags.includes("routes") && h("label", {},
      h("span", {}, "Query string"), h("input", { "data-in": "search", placeholder: "a=1&b=2", autocomplete: "off" }))),
    content && bodyView(...content),
    h("div", { class: "buttons" }, h("button", {}, "Send"),
      h("button", { type: "button", class: "plain copy", onclick: (event) => copy(curl, event.target) }, "Copy curl")),
    curl, answer);
  const refresh = () => { curl.textContent = curlOf(requestOf(form)); };
  let sent = null;
  form.addEventListener("input", refresh);
  form.addEventListener("refresh", refresh);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (sent) sent.abort(); // no longer follow the job of the request before
    sent = new AbortController();
    const made = requestOf(form);
    // A browser may send a POST again on a connection that was closed.
    if (operation.tags.includes("routes")) made.request.headers["Idempotency-Key"] ??= randomKey();
    send(made, answer, sent.signal);
  });
  refresh();
  return form;
}

function randomKey() { // crypto.randomUUID needs TLS
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bodyView(type, { example, schema }) {
  const sample = example === undefined ? (Object.keys(schema).length ? "" : "{}") : JSON.stringify(example, null, 2);
  return [
    h("label", {}, h("span", {}, "Content-Type"), h("input", { "data-type": true, value: type })),
    h("label", {}, h("span", {}, "Body"), h("textarea", { spellcheck: "false", rows: Math.min(20, Math.max(4, sample.split("\n").length + 1)) }, sample)),
  ];
}

function requestOf(form) {
  let path = base + form.dataset.path;
  const headers = authorization();
  const query = new URLSearchParams();
  let search = "";
  for (const field of form.querySelectorAll("[data-in]")) {
    const value = field.value.trim();
    const where = field.dataset.in;
    if (where === "path") path = path.replace("{" + field.name + "}", encodeURIComponent(value));
    else if (value === "") continue;
    else if (where === "header") headers[field.name] = value;
    else if (where === "query") query.set(field.name, value);
    else search = value.replace(/^\?/, "");
  }
  const request = { method: form.dataset.method, headers };
  const body = form.querySelector("textarea");
  if (body && body.value !== "") {
    request.body = body.value;
    headers["Content-Type"] = form.querySelector("[data-type]").value || "application/json";
  }
  const all = [query.toString(), search].filter(Boolean).join("&");
  return { url: path + (all ? "?" + all : ""), request };
}

function curlOf({ url, request }) {
  const parts = ["curl -i"];
  if (request.method !== "GET") parts.push("-X " + request.method);
  for (const [name, value] of Object.entries(request.headers)) {
    const text = name === "Authorization" ? '"Authorization: Bearer $TOKEN"' : quoted(name + ": " + value);
    parts.push("-H " + text);
  }
  if (request.body !== undefined) parts.push("--data-binary " + quoted(request.body));
  parts.push(quoted(location.origin + url));
  return parts.join(" \\\n  ");
}

async function copy(source, button) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch { // no permission, or a page without TLS
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy curl"; }, 2000);
}

async function send({ url, request }, answer, signal) {
  answer.replaceChildren(h("p", { class: "muted" }, "Sending…"));
  const headers = authorization();
  try {
    const response = await fetch(url, { ...request, signal });
    const here = response.headers.get("Location");
    answer.replaceChildren(await responseView(response));
    if (response.status !== 202 || !here) return;
    offer(here.split("/").pop());
    const panel = h("div", { class: "job" });
    const waiting = h("p", { class: "muted" });
    answer.prepend(panel, waiting);
    await follow(here, headers, panel, waiting, signal);
  } catch (error) {
    if (!signal.aborted) answer.replaceChildren(h("p", { class: "error" }, "The request failed: " + error.message));
  }
}

// The forms about jobs get the newest job's id, unless another one was typed into them.
function offer(id) {
  document.getElementById("jobs").prepend(h("option", { value: id }));
  for (const field of document.querySelectorAll("[data-job]")) {
    if (field.value !== "" && field.value !== field.dataset.offered) continue;
    field.value = field.dataset.offered = id;
    field.form.dispatchEvent(new Event("refresh"));
  }
}

async function responseView(response) {
  const listed = ["location", "retry-after", "etag", "content-type", "preference-applied", "idempotent-replayed"]
    .filter((name) => response.headers.has(name))
    .map((name) => name + ": " + response.headers.get(name));
  return h("div", {},
    h("p", {}, h("code", { class: "status s" + String(response.status)[0] }, response.status + " " + response.statusText)),
    listed.length > 0 && pre({ class: "headers" }, listed.join("\n")),
    await bodyOf(response));
}

async function bodyOf(response) {
  const type = response.headers.get("Content-Type") || "";
  const data = await response.blob();
  if (!/json|^text\//.test(type)) return data.size > 0 && saved(data, response);
  if (data.size > SHOWN) return [pre({}, await data.slice(0, SHOWN).text() + "…"), saved(data, response)];
  const text = await data.text();
  return text !== "" && pre({}, type.includes("json") ? indented(text) : text);
}

// JSON with line breaks. Numbers stay as they are written: parsed ones would lose digits.
function indented(text) {
  try { JSON.parse(text); } catch { return text; }
  let depth = 0;
  let before = "";
  return text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g).map((part) => {
    const opened = before === "{" || before === "[";
    const closes = part === "}" || part === "]";
    if (closes) depth -= 1;
    const line = before !== "" && (closes ? !opened : opened || before === ",");
    if (part === "{" || part === "[") depth += 1;
    const at = part === "{" || part === "[" ? depth - 1 : depth;
    before = part;
    return (line ? "\n" + "  ".repeat(at) : "") + (part === ":" ? ": " : part);
  }).join("");
}

// The file has no type of its own, so that a browser that opens it does not show it as a page.
function saved(data, response) {
  const [, name] = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("Content-Disposition")) || [];
  const file = URL.createObjectURL(data.slice(0, data.size, "application/octet-stream"));
  const download = name ? decodeURIComponent(name) : "result";
  return h("p", {}, h("a", { href: file, download }, "Save " + data.size + " bytes"));
}

// Reads until the gateway answers with something else than that it is busy or away; `onWait` gets
// what it answers meanwhile, at last "".
async function persist(url, options, onWait) {
  for (let tries = 0; ; tries += 1) {
    let least = Math.min(10, 2 ** tries);
    try {
      const response = await fetch(url, options);
      if (response.status !== 503 && response.status !== 429) {
        onWait("");
        return response;
      }
      least = Math.max(least, retryAfter(response));
      onWait("The gateway answers " + response.status + "; trying again…");
    } catch (error) {
      if (options.signal.aborted) throw error;
      onWait("The gateway cannot be reached; trying again…");
    }
    await pause(least);
  }
}

async function follow(here, headers, panel, waiting, signal) {
  let tag = null;
  const again = () => follow(here, headers, panel, waiting, signal);
  const read = (url) => persist(url, { headers, signal }, (text) => { waiting.textContent = text; });
  for (;;) {
    const begun = performance.now();
    const response = await read(tag === null ? here : here + "?wait=" + WAIT);
    if (!response.ok) return panel.replaceChildren(await responseView(response));
    const job = await response.json();
    panel.replaceChildren(...shown(jobView(job, headers, again)));
    if (job.state === "Completed") {
      panel.append(h("h4", {}, "Result"), await responseView(await read(job.links.result)));
    }
    if (FINAL.includes(job.state)) return undefined;
    // The gateway answers at once when too many clients wait: then this page waits itself.
    const early = tag !== null && performance.now() - begun < 1000;
    const unchanged = tag === response.headers.get("ETag");
    if (early) await pause(unchanged ? retryAfter(response) : 0.25);
    if (signal.aborted) return undefined;
    tag = response.headers.get("ETag");
  }
}

function retryAfter(response) {
  return Math.max(1, Number(response.headers.get("Retry-After")) || 0);
}

function jobView(job, headers, again) {
  const done = FINAL.includes(job.state);
  const known = job.progress ? job.progress.fraction : job.state === "Completed" ? 1 : undefined;
  const note = h("span", { class: "muted" });
  const button = (label, method, url, accepted) => h("button", {
    type: "button",
    class: "plain act " + label.toLowerCase(),
    onclick: async ({ target }) => {
      target.disabled = true;
      try {
        const response = await fetch(url, { method, headers });
        if (response.ok) return await accepted();
        note.textContent = response.status + " " + response.statusText;
      } catch (error) {
        note.textContent = "The request failed: " + error.message;
      }
      target.disabled = false;
      return undefined;
    },
  }, label);
  return [
    h("div", { class: "head" },
      h("span", { class: "state " + job.state.toLowerCase() }, job.state), code(job.id),
      !done && button("Cancel", "DELETE", job.links.cancel, () => { note.textContent = "Canceling…"; }),
      done && job.state !== "Completed" && button("Retry", "POST", job.links.retry, again), note),
    job.state !== "Failed" && job.state !== "Canceled" &&
      h("progress", { max: 1, value: known, "aria-label": "Progress" }),
    h("p", { class: "muted" }, "Attempt " + job.attempt + " of " + job.maxAttempts,
      job.progress && job.progress.message ? " · " + job.progress.message : ""),
    job.error && h("p", { class: "error" }, code(job.error.code), " " + job.error.message),
  ];
}

document.getElementById("token").addEventListener("input", () => {
  for (const form of document.querySelectorAll("form[data-path]")) form.dispatchEvent(new Event("refresh"));
});
if (guarded) document.getElementById("access").hidden = false;
else load();
