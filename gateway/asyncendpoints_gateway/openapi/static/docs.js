"use strict";
// The "Try it" forms: each builds a request, shows it as a curl command, sends it and shows the
// response. An accepted job is polled until it is final. Nothing is loaded from other servers.

const base = document.body.dataset.base;
const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

function requestOf(form) {
  let path = base + form.dataset.path;
  const headers = {};
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[data-in]")) {
    const value = field.value.trim();
    if (field.dataset.in === "path") {
      path = path.replace("{" + field.name + "}", encodeURIComponent(value));
    } else if (value !== "" && field.dataset.in === "header") {
      headers[field.name] = value;
    } else if (value !== "" && field.dataset.in === "query") {
      query.set(field.name, value);
    }
  }
  const token = document.getElementById("token");
  if (token && token.value) headers["Authorization"] = "Bearer " + token.value;
  const body = form.querySelector("textarea");
  const request = { method: form.dataset.method, headers };
  if (body && body.value !== "") {
    request.body = body.value;
    const type = form.querySelector("[data-type]");
    headers["Content-Type"] = (type && type.value) || "application/json";
  }
  const search = query.toString();
  return { url: path + (search ? "?" + search : ""), request };
}

function curlOf({ url, request }) {
  const parts = ["curl -i"];
  if (request.method !== "GET") parts.push("-X " + request.method);
  for (const [name, value] of Object.entries(request.headers)) parts.push("-H " + quote(name + ": " + value));
  if (request.body !== undefined) parts.push("--data-binary " + quote(request.body));
  parts.push(quote(location.origin + url));
  return parts.join(" \\\n  ");
}

async function answerOf(response) {
  let text = await response.text();
  try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: as it is */ }
  const shown = ["location", "retry-after", "etag", "content-type"]
    .filter((name) => response.headers.has(name))
    .map((name) => name + ": " + response.headers.get(name));
  return [response.status + " " + response.statusText, ...shown, "", text].join("\n");
}

async function follow(location, headers, show) {
  for (;;) {
    const response = await fetch(location + "?wait=20", { headers });
    if (response.status !== 200) return show(await answerOf(response));
    const job = await response.json();
    show(JSON.stringify(job, null, 2));
    if (["Completed", "Failed", "Canceled"].includes(job.state)) {
      return show(await answerOf(await fetch(location + "/result", { headers })));
    }
  }
}

for (const form of document.querySelectorAll("form")) {
  const curl = form.querySelector(".curl");
  const answer = form.querySelector(".answer");
  const refresh = () => { curl.textContent = curlOf(requestOf(form)); };
  const show = (text) => { answer.hidden = false; answer.textContent = text; };
  form.addEventListener("input", refresh);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { url, request } = requestOf(form);
    try {
      const response = await fetch(url, request);
      const location = response.headers.get("Location");
      show(await answerOf(response));
      if (response.status === 202 && location) {
        const auth = request.headers["Authorization"];
        await follow(location, auth ? { Authorization: auth } : {}, show);
      }
    } catch (error) {
      show(String(error));
    }
  });
  form.querySelector(".copy").addEventListener("click", () => navigator.clipboard.writeText(curl.textContent));
  refresh();
}
const token = document.getElementById("token");
if (token) token.addEventListener("input", () => document.querySelectorAll("form").forEach((form) => form.dispatchEvent(new Event("input"))));
