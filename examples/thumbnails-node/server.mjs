// A plain HTTP server that runs jobs: asyncendpoints sends each one as a request.
//
//   2xx  the job is completed, and the body is its result
//   408, 425, 429, 5xx  the job is retried (after Retry-After, if it is set)
//   any other status  the job fails
import { createServer } from "node:http";
import { BadImage, decode, encode, shrink } from "./png.mjs";

const PORT = Number(process.env.PORT ?? 3000);
const MAX_BYTES = 8 * 1024 * 1024;

class Rejected extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function read(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MAX_BYTES) throw new Rejected(413, "the image is too large");
    parts.push(part);
  }
  return Buffer.concat(parts);
}

// Clients see the progress with the job's status. It may get lost: the result does not depend on it.
async function report(request, fraction, message) {
  const url = request.headers["job-callback"];
  if (!url) return;
  await fetch(`${url}/progress`, {
    method: "POST",
    headers: { Authorization: `Bearer ${request.headers["job-callback-token"]}` },
    body: JSON.stringify({ fraction, message }),
  }).catch((error) => console.error(`no progress: ${error.message}`));
}

function thumbnail(image, query) {
  const width = Number(query.get("width") ?? 128);
  if (!Number.isInteger(width) || width < 1 || width > 2048) {
    throw new Rejected(422, "width is a whole number from 1 to 2048");
  }
  return encode(shrink(decode(image), width));
}

async function answer(request, response) {
  if (request.method === "GET" && request.url === "/healthz") {
    response.end("ok\n");
    return;
  }
  // Job-Path is the path and query of the client's request; this server's own path is fixed.
  const submitted = new URL(request.headers["job-path"] ?? "/", "http://job");
  const started = process.hrtime.bigint();
  const picture = await read(request);
  await report(request, 0.1, `${picture.length} bytes received`);
  const image = thumbnail(picture, submitted.searchParams);
  const ms = Number((process.hrtime.bigint() - started) / 1_000_000n);
  console.error(
    `${request.headers["job-id"]} attempt ${request.headers["job-attempt"]}: ` +
      `${image.length} bytes in ${ms} ms`,
  );
  response.writeHead(200, { "Content-Type": "image/png", "Content-Length": image.length });
  response.end(image);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    const status = error.status ?? (error instanceof BadImage ? 422 : 500);
    if (status === 500) console.error(error);
    if (response.headersSent) return response.destroy();
    response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" });
    response.end(`${status === 500 ? "internal error" : error.message}\n`);
  });
});

server.listen(PORT, "127.0.0.1", () => console.error(`thumbnails on port ${server.address().port}`));

// Finish the current requests, accept no new ones.
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => server.close());
