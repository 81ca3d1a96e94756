// What the types say of submissions, with the paths that openapi-typescript generates.
import { Client, InvalidBody, JobFailed } from "asyncendpoints-client";
import type { Job, JobHandle } from "asyncendpoints-client";

import type { paths } from "./schema.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>) => {};

const [url, token] = process.argv.slice(2);
const client = new Client<paths>(url!, { token: token! });
const params = { path: { customer: "acme" } };

const job = await client.submit("/sums/{customer}", { params, body: { numbers: [1, 2] } });
const result = await job.result();
same<typeof result, { sum: number; customer?: string }>(true);
const put = await client.submit("/sums/{customer}", { method: "PUT", params, body: { numbers: [3] } });
const sum: number = (await put.result()).sum;

const compileOnly = async () => {
  // @ts-expect-error: the schema requires numbers
  await client.submit("/sums/{customer}", { params, body: { numbers: ["1"] } });
  // @ts-expect-error: the path has a parameter of another name
  await client.submit("/sums/{customer}", { params: { path: { name: "x" } }, body: { numbers: [] } });
  // @ts-expect-error: no such route
  await client.submit("/sum", {});
  // @ts-expect-error: no such method
  await client.submit("/sums/{customer}", { method: "PATCH", params, body: { numbers: [] } });
  // @ts-expect-error: no such priority
  await client.submit("/steps", { priority: "urgent" });
  for await (const change of client.job(job.id).events()) same<typeof change, Job>(true);
  const untyped: JobHandle<any> = await new Client("").submit("/anything", { body: { any: 1 } });
  if ((await untyped.result()) instanceof JobFailed) throw new InvalidBody("", 1, { type: "" }, 1);
};

console.log(JSON.stringify({ sum, result, compiled: typeof compileOnly }));
