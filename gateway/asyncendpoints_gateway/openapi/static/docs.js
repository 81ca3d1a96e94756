"use strict";
// The page is built here from openapi.json, which is fetched with the token if one is needed.
// Nothing is loaded from other servers, and no text of the document is treated as HTML.

const base = document.body.dataset.base;
const guarded = "guarded" in document.body.dataset;
const METHODS = ["get", "post", "put", "patch", "delete"];
let api = { components: { schemas: {} } };

function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...shown(children));
  return node;
}

// What is absent (null, undefined, false, "") is left out.
function shown(children) {
  return children.flat(9).filter((each) => each || each === 0);
}

const code = (value) => h("code", {}, typeof value === "string" ? value : JSON.stringify(value));
// What scrolls can be focused, so that the keyboard scrolls it.
const pre = (attributes, ...children) => h("pre", { tabindex: 0, ...attributes }, ...children);
const block = (value) => pre({}, JSON.stringify(value, null, 2));
const section = (title, ...children) => [h("h3", {}, title), ...children];

function authorization() {
  const token = document.getElementById("token").value.trim();
  return token ? { Authorization: "Bearer " + token } : {};
}

function named(reference) {
  return decodeURIComponent(reference.replace("#/components/schemas/", "").split("/")[0]);
}

function resolved(schema) {
  let found = schema;
  for (let steps = 0; found && found.$ref && steps < 20; steps += 1) found = api.components.schemas[named(found.$ref)];
  return found || {};
}

// What a value may be: a link to a named schema, or its type in words.
function typeOf(schema) {
  if (schema === true || schema === undefined) return ["any"];
  if (schema === false) return ["nothing"];
  if (schema.$ref) {
    const name = named(schema.$ref);
    return name in api.components.schemas ? [h("a", { href: "#schema-" + name }, name)] : [schema.$ref];
  }
  if ("const" in schema) return [code(schema.const)];
  if (schema.enum) return joined(schema.enum.map((each) => [code(each)]));
  const options = schema.oneOf || schema.anyOf;
  if (options) return joined(options.map(typeOf));
  const types = [schema.type || (schema.properties || schema.allOf ? "object" : schema.items ? "array" : "any")].flat();
  return joined(types.map((type) =>
    type === "array" && schema.items ? ["array of ", ...typeOf(schema.items)]
      : type === "object" && typeof schema.additionalProperties === "object"
        ? ["object of ", ...typeOf(schema.additionalProperties)] : [type]));
}

// A schema with the properties of all that allOf names.
function whole(schema, steps = 0) {
  if (typeof schema !== "object") return {};
  const parts = steps < 9 ? (schema.allOf || []).map((each) => whole(resolved(each), steps + 1)) : [];
  if (!parts.length) return schema;
  return Object.assign({}, ...parts, schema, {
    properties: Object.assign({}, ...[...parts, schema].map((each) => each.properties)),
    required: [...parts, schema].flatMap((each) => each.required || []),
  });
}

// The alternatives of a schema that have no name, and so no link.
function unnamed(schema) {
  return (schema.oneOf || schema.anyOf || []).filter((each) => typeof each === "object" && !each.$ref);
}

function joined(parts) {
  return parts.flatMap((each, index) => (index ? [" or ", ...each] : each));
}

// The limits of a value, each as a short text.
function limits(schema) {
  if (typeof schema !== "object") return [];
  const found = [];
  const bounds = (low, high, unit) => {
    const [least, most] = [schema[low], schema[high]];
    if (least === undefined && most === undefined) return;
    if (most === undefined) found.push("at least " + least + unit);
    else if (least === undefined) found.push("at most " + most + unit);
    else found.push(least + " to " + most + unit);
  };
  if (schema.format) found.push(schema.format);
  bounds("minimum", "maximum", "");
  bounds("minLength", "maxLength", " characters");
  bounds("minItems", "maxItems", " items");
  bounds("minProperties", "maxProperties", " properties");
  if (schema.exclusiveMinimum !== undefined) found.push("more than " + schema.exclusiveMinimum);
  if (schema.exclusiveMaximum !== undefined) found.push("less than " + schema.exclusiveMaximum);
  if (schema.multipleOf !== undefined) found.push("multiple of " + schema.multipleOf);
  if (schema.uniqueItems) found.push("no duplicates");
  if (schema.pattern) found.push(["matches ", code(schema.pattern)]);
  if (schema.default !== undefined) found.push(["default ", code(schema.default)]);
  return found.map((each) => h("span", { class: "limit" }, each));
}

function row(name, required, schema, about, where) {
  return h("div", { class: "field" },
    h("div", { class: "name" }, code(name), where && h("span", { class: "where" }, where),
      required && h("span", { class: "required" }, "required")),
    h("div", { class: "type" }, typeOf(schema), limits(schema)),
    about && h("div", { class: "about" }, about));
}

// The properties of an object, those of nested objects with their path: `customer.name`.
function properties(schema, prefix = "", depth = 0) {
  const all = whole(schema);
  const required = all.required || [];
  return Object.entries(all.properties || {}).flatMap(([name, each]) => {
    const part = typeof each === "object" ? each : {};
    const items = typeof part.items === "object" ? part.items : {};
    const below = (found, mark) => (depth < 3 && !found.$ref
      ? [found, ...unnamed(found)].flatMap((one) => properties(one, prefix + name + mark, depth + 1)) : []);
    return [
      row(prefix + name, required.includes(name), each, part.description || ""),
      ...below(part, "."), ...below(items, "[]."),
    ];
  });
}

function fieldsView(schema) {
  const fields = properties(schema);
  const options = unnamed(schema).filter((each) => properties(each).length);
  return [
    fields.length > 0 && h("div", { class: "fields" }, fields),
    !fields.length && !options.length && h("p", { class: "type" }, typeOf(schema), " ", limits(schema)),
    options.map((each) => [h("h4", {}, each.title || "Either"), fieldsView(each)]),
  ];
}

function schemaView(schema) {
  return [
    schema.description && h("p", {}, schema.description),
    fieldsView(schema),
    h("details", { class: "raw" }, h("summary", {}, "JSON Schema"), block(schema)),
  ];
}

function contentView(content) {
  return Object.entries(content || {}).map(([type, { schema }]) =>
    h("div", {}, code(type), " ", typeOf(schema)));
}

function responsesView(responses) {
  return h("div", { class: "fields responses" }, Object.entries(responses).sort().map(([status, each]) =>
    h("div", { class: "field" },
      h("div", { class: "name" }, h("code", { class: "status s" + status[0] }, status)),
      h("div", { class: "type" }, contentView(each.content)),
      h("div", { class: "about" }, each.description))));
}

// A link in a summary could not be reached by every assistive technology: it is below it.
function anchor(id) {
  return h("a", { class: "anchor", href: "#" + id }, "#" + id);
}

function summaryOf(method, path, about) {
  return h("summary", {},
    h("span", { class: "method " + method }, method.toUpperCase()),
    h("span", { class: "path" }, path.split(/(?<=\/)/).flatMap((each) => [each, h("wbr")])),
    h("span", { class: "about" }, about));
}

function operationView(path, method, operation, shared) {
  const parameters = [...(shared || []), ...(operation.parameters || [])];
  const content = operation.requestBody ? Object.entries(operation.requestBody.content) : [];
  return h("details", { class: "card", id: operation.operationId },
    summaryOf(method, path, operation.summary),
    h("div", { class: "inside" },
      anchor(operation.operationId),
      h("p", {}, operation.description),
      parameters.length > 0 && section("Parameters", h("div", { class: "fields" }, parameters.map((each) =>
        row(each.name, each.required, each.schema, each.description, each.in)))),
      content.length > 0 && section("Body",
        operation.requestBody.description && h("p", {}, operation.requestBody.description),
        content.map(([type, { schema }]) => [
          h("p", {}, code(type), operation.requestBody.required && h("span", { class: "required" }, "required")),
          Object.keys(schema).length > 0 && schemaView(resolved(schema)),
        ])),
      section("Responses", responsesView(operation.responses)),
      section("Try it", formView(path, method, operation, parameters, content[0]))));
}

function schemaCard(name, schema) {
  const id = "schema-" + name;
  return h("details", { class: "card", id },
    h("summary", {}, h("span", { class: "path" }, name)),
    h("div", { class: "inside" }, anchor(id), schemaView(schema)));
}

function operationsOf(tag) {
  return Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method] && item[method].tags.includes(tag))
      .map((method) => [path, method, item[method], item.parameters]));
}

function render() {
  document.title = api.info.title;
  const groups = api.tags.map((tag) => [tag, operationsOf(tag.name)]).filter(([, found]) => found.length);
  const title = (text) => text[0].toUpperCase() + text.slice(1);
  const names = Object.keys(api.components.schemas);
  document.getElementById("content").replaceChildren(
    h("h1", {}, api.info.title),
    h("p", { class: "lead" }, api.info.description, " The OpenAPI description is ",
      h("a", { href: base + "/openapi.json", onclick: download }, "openapi.json"), "."),
    ...groups.flatMap(([tag, found]) => [
      h("h2", {}, title(tag.name)),
      h("p", { class: "lead" }, tag.description),
      ...found.map((each) => operationView(...each)),
    ]),
    h("h2", {}, "Schemas"),
    ...names.map((name) => schemaCard(name, api.components.schemas[name])),
    h("datalist", { id: "jobs" }),
    h("footer", {}, "asyncendpoints " + api.info.version));
  const entry = (id, ...text) => h("li", {}, h("a", { href: "#" + id }, ...text));
  document.getElementById("toc").replaceChildren(
    ...groups.flatMap(([tag, found]) => [
      h("strong", {}, title(tag.name)),
      h("ul", {}, found.map(([path, method, operation]) => entry(operation.operationId,
        h("span", { class: "method " + method }, method.toUpperCase()), path))),
    ]),
    h("strong", {}, "Schemas"), h("ul", {}, names.map((name) => entry("schema-" + name, name))));
  openAnchor();
}

// A link cannot send the token, so with one the document is fetched and offered as a file.
function download(event) {
  if (!guarded) return;
  event.preventDefault();
  const file = new Blob([JSON.stringify(api, null, 2)], { type: "application/json" });
  const url = URL.createObjectURL(file);
  h("a", { href: url, download: "openapi.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

function openAnchor() {
  let name = location.hash.slice(1);
  try { name = decodeURIComponent(name); } catch { /* it is no anchor of this page */ }
  const found = document.getElementById(name);
  if (!found || found.tagName !== "DETAILS") return;
  found.open = true;
  found.scrollIntoView();
}

async function load() {
  const notice = document.getElementById("notice");
  notice.textContent = "Loading…";
  try {
    const response = await fetch(base + "/openapi.json", { headers: authorization() });
    if (response.status === 401) {
      notice.textContent = "This token is not accepted.";
      return;
    }
    if (!response.ok) throw new Error(response.status + " " + response.statusText);
    api = await response.json();
    notice.textContent = "";
    render();
  } catch (error) {
    notice.replaceChildren("The description cannot be loaded: " + error.message + " ",
      h("button", { type: "button", class: "plain", onclick: load }, "Try again"));
  }
}

addEventListener("hashchange", openAnchor);
document.getElementById("access").addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
