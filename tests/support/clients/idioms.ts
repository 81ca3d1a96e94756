// Each idiom of idioms.py in the types that openapi-typescript makes, and its value over the gateway.
import { Client } from "asyncendpoints-client";

import type { paths } from "./idioms-schema.js";

const client = new Client<paths>(process.argv[2]!);
const params = { path: { customer: "acme" } };

const order = await (await client.submit("/orders/{customer}", { params, body: { sku: "tea", count: 2 } })).result();
const sku: string = order.sku;
const count: number = await (await client.submit("/counts", { body: { n: 3 } })).result();
const united = (await (await client.submit("/unions", { body: { value: "x" } })).result()).value;
const value: number | string | null = united;
const page = await (await client.submit("/pages", { body: { items: [{ name: "a" }], total: 1 } })).result();
const names: string[] = page.items.map((item) => item.name);
const total: number = (await (await client.submit("/aliases", { body: { unitPrice: 1.5 } })).result()).totalPrice;
const pet = await (await client.submit("/pets", { body: { pet: { kind: "cat", lives: 9 } } })).result();
const lives: number = pet.kind === "cat" ? pet.lives : 0;
const colour: "red" | "green" = await (await client.submit("/enums", { body: { colour: "red" } })).result();
const tree = await (await client.submit("/trees", { body: { children: [] } })).result();
const depth = (at: typeof tree): number => 1 + Math.max(0, ...(at.children ?? []).map(depth));

const compileOnly = async () => {
  // @ts-expect-error: sku is a string
  await client.submit("/orders/{customer}", { params, body: { sku: 1, count: 1 } });
  // @ts-expect-error: extra fields are forbidden
  await client.submit("/orders/{customer}", { params, body: { sku: "tea", count: 1, more: 1 } });
  // @ts-expect-error: n is a number
  await client.submit("/counts", { body: { n: "3" } });
  // @ts-expect-error: none of the union
  await client.submit("/unions", { body: { value: [1] } });
  // @ts-expect-error: an item has a name
  await client.submit("/pages", { body: { items: ["a"], total: 1 } });
  // @ts-expect-error: the alias is unitPrice
  await client.submit("/aliases", { body: { unit_price: 1.5 } });
  // @ts-expect-error: results have the alias
  total.total_price;
  // @ts-expect-error: a dog has no lives
  await client.submit("/pets", { body: { pet: { kind: "dog", loud: true, lives: 9 } } });
  // @ts-expect-error: no such kind
  await client.submit("/pets", { body: { pet: { kind: "cow" } } });
  // @ts-expect-error: no such colour
  await client.submit("/enums", { body: { colour: "blue" } });
  // @ts-expect-error: children are trees
  await client.submit("/trees", { body: { children: [{ children: 1 }] } });
};

console.log(
  JSON.stringify({ sku, count, value, names, total, lives, colour, depth: depth(tree), compiled: typeof compileOnly }),
);
