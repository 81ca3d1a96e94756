// Everything that the TypeScript client does, against a real gateway; returns what it saw.

/** A fetch that loses the response of the first request of each method. */
function losing() {
  const lost = new Set();
  return async (url, init) => {
    const response = await fetch(url, init);
    if (lost.has(init.method)) return response;
    lost.add(init.method);
    await response.arrayBuffer();
    throw new TypeError("lost by the test");
  };
}

async function thrown(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

export async function tour(api, url, token) {
  const seen = {};
  const client = new api.Client(url, { token, fetch: losing() });
  const sum = { params: { path: { customer: "a/b" } }, body: { numbers: [1, 2, 3] } };
  const job = await client.submit("/sums/{customer}", sum);
  seen.sum = await job.result();
  const again = { ...sum, idempotencyKey: job.idempotencyKey };
  seen.same = (await client.submit("/sums/{customer}", again)).id === job.id;
  const put = { method: "PUT", body: { numbers: [4.5] }, wait: 20, priority: "high" };
  seen.waited = (await (await client.submit("/sums/x", put)).result()).sum;

  const failing = await client.submit("/failures", { wait: 20 });
  const failed = await thrown(failing.result());
  seen.failed = [failed.name, failed.error.code, failed.error.message];
  await failing.retry();
  seen.retried = (await failing.wait({ timeout: 20 })).state;

  const blob = await client.submit("/blobs", { body: new Uint8Array([1, 2, 3]) });
  const bytes = await blob.blob();
  seen.blob = [bytes.type, bytes.size];
  seen.streamed = (await (await blob.response()).arrayBuffer()).byteLength;

  const states = [];
  let progress = 0;
  for await (const change of (await client.submit("/steps", { delay: 0.2 })).events()) {
    states.push(change.state);
    if (change.progress) progress += 1;
  }
  seen.first = states[0];
  seen.last = states.at(-1);
  seen.progress = progress >= 3;

  const tagged = await client.submit("/steps", { tags: ["a", "b:c"] });
  seen.tags = (await tagged.status()).tags;
  const found = [];
  for await (const one of client.jobs({ tag: ["a", "b:c"] })) found.push(one.id);
  seen.found = found.length === 1 && found[0] === tagged.id;
  await tagged.wait({ timeout: 20 });

  const endless = await client.submit("/endless");
  seen.late = (await thrown(endless.wait({ timeout: 0 }))).name;
  await endless.cancel(); // its answer is lost
  seen.canceled = (await endless.wait({ timeout: 20 })).state;
  const waiting = await client.submit("/endless", { delay: 600 });
  const losingAgain = new api.Client(url, { token, fetch: losing() });
  seen.lost = (await losingAgain.job(waiting.id).cancel()).state;
  const controller = new AbortController();
  const held = await client.submit("/endless", { delay: 600 });
  const wait = thrown(held.wait({ signal: controller.signal }));
  controller.abort();
  seen.aborted = (await wait).name;
  await held.cancel();

  const wrong = client.submit("/sums/x", { body: { numbers: ["x"] } });
  seen.pointer = (await thrown(wrong)).errors[0].pointer;
  const refused = new api.Client(url, { token: "wrong" });
  seen.unauthorized = (await thrown(refused.job(job.id).status())).status;
  let listed = 0;
  for await (const one of client.jobs({ limit: 2 })) listed += one.id ? 1 : 0;
  seen.listed = listed === 9;

  const first = await client.submit("/shared/a");
  const other = await client.submit("/shared/a");
  seen.existing = [first.existing, other.existing, other.id === first.id];
  const single = await client.submit("/single/a");
  const duplicate = await thrown(client.submit("/single/a"));
  seen.duplicate = [duplicate.name, duplicate.status, duplicate.id === single.id];
  return seen;
}
