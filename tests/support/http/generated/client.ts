// Submits and fetches with openapi-fetch; the types are those that openapi-typescript generated.
import createClient from "openapi-fetch";

import type { components, paths } from "./schema.js";

const [url, token] = process.argv.slice(2);
const headers = token ? { Authorization: `Bearer ${token}` } : undefined;
const client = createClient<paths>({ baseUrl: url, headers });

const accepted = await client.POST("/orders/{customer}", {
  params: { path: { customer: "acme" }, header: { "Job-Priority": "high" } },
  body: { items: 3 },
});
if (accepted.response.status !== 202) throw new Error(JSON.stringify(accepted.error));
const job = accepted.data as components["schemas"]["Job"];

for (;;) {
  const { data, error } = await client.GET("/jobs/{id}", {
    params: { path: { id: job.id }, query: { wait: 20 } },
  });
  // Text is an event stream, which only a request with `Accept: text/event-stream` gets.
  if (error || typeof data !== "object") throw new Error(JSON.stringify(error));
  if (data.state === "Completed") break;
}
const { data: result, error } = await client.GET("/jobs/{id}/result", {
  params: { path: { id: job.id } },
});
if (error || !result || typeof result !== "object" || !("total" in result)) throw new Error(JSON.stringify(error));
const total: number = result.total;

const awaited = await client.POST("/orders/{customer}", {
  params: { path: { customer: "acme" }, header: { Prefer: "wait=20" } },
  body: { items: 4 },
});
if (!awaited.data || !("total" in awaited.data)) throw new Error(JSON.stringify(awaited.error));
const second: number = awaited.data.total;

const free = await client.POST("/notes", { body: { any: ["thing"] } });
if (free.response.status !== 202) throw new Error(JSON.stringify(free.error));

// @ts-expect-error: the schema requires a number
const wrong = await client.POST("/orders/{customer}", { params: { path: { customer: "a" } }, body: { items: "3" } });
if (wrong.response.status !== 422) throw new Error(String(wrong.response.status));

console.log(JSON.stringify({ total, second, customer: result.customer }));
