// Runs scenarios with the TypeScript client, in Node and in a browser: returns the outcomes as
// scenario_server.py checks them.

function clock() {
  const found = { seconds: 0, waits: [] };
  found.timing = (now) => ({
    monotonic: () => found.seconds,
    wall: () => now + found.seconds,
    random: () => 0.5,
    async sleep(seconds) {
      found.seconds += seconds;
      found.waits.push(seconds);
    },
  });
  return found;
}

const shown = (job) => (job.progress ? `${job.state} ${job.progress.fraction}` : job.state);

/** Reports each change to the server, which waits for it before it cuts a stream. */
async function follow(url, handle) {
  const found = [];
  for await (const job of handle.events()) {
    found.push(shown(job));
    await fetch(`${url}/_seen`);
  }
  return found;
}

async function collect(values, of) {
  const found = [];
  for await (const value of values) found.push(of(value));
  return found;
}

async function perform(url, client, handle, name, given) {
  if (name === "events") return follow(url, handle);
  if (name === "jobs") return collect(client.jobs(given), (job) => job.id);
  if (name === "download") return (await handle.blob()).size;
  const value = await handle[name](given);
  if (value instanceof Uint8Array) return { bytes: value.length };
  return name === "result" ? value : value.state;
}

async function submit(client, { path, body, params, method, ...given }) {
  const { content_type: contentType, idempotency_key: idempotencyKey, ...options } = given;
  const named = { ...(contentType && { contentType }), ...(idempotencyKey && { idempotencyKey }) };
  return client.submit(path, {
    ...{ ...options, ...named, body },
    ...(method && { method }),
    ...(params && { params: { query: params } }),
  });
}

async function run(api, url, scenario, { job, now, deadline }) {
  const time = clock();
  const options = { token: "secret", deadline, timing: time.timing(now) };
  const client = new api.Client(url, options);
  let handle = client.job(job);
  let value;
  try {
    for (const [name, given = {}] of scenario.calls) {
      if (name === "submit") {
        handle = await submit(client, given);
        value = handle.id;
      } else {
        value = await perform(url, client, handle, name, given);
      }
    }
  } catch (error) {
    if (!(error instanceof api.ClientError)) throw error;
    const facts = {
      name: error.name,
      id: error.id ?? null,
      key: error.idempotencyKey ?? null,
      status: error.status,
      retryAfter: error.retryAfter ?? null,
      code: error.error?.code,
      pointer: error.errors?.[0]?.pointer,
    };
    return { error: facts, waits: time.waits };
  }
  return { value, waits: time.waits };
}

export async function runAll(api, url, prefix, scenarios, known) {
  const found = [];
  for (const [index, scenario] of scenarios.entries()) {
    found.push(await run(api, `${url}/${prefix}${index}`, scenario, known));
  }
  return found;
}
