// What the documentation of resumable-stream has its users write: a chat endpoint whose stream can be picked up again.
// The text is in this process' memory while it streams; Redis tells other servers where it is.
import { createServer } from "node:http";
import { createResumableStreamContext } from "resumable-stream";

const upstream = process.env.UPSTREAM;
const pending = new Set();
const context = createResumableStreamContext({ waitUntil: (promise) => pending.add(promise) });

createServer(async (request, response) => {
  if (request.method !== "POST") return response.end("ok");
  let body = "";
  for await (const piece of request) body += piece;
  const id = crypto.randomUUID();
  const open = () => new ReadableStream({
    async start(controller) {
      const answer = await fetch(`${upstream}/chat/completions`, {
        method: "POST", headers: { "content-type": "application/json" }, body,
      });
      const decoder = new TextDecoder();
      for await (const piece of answer.body) controller.enqueue(decoder.decode(piece, { stream: true }));
      controller.close();
    },
  });
  response.writeHead(200, { "content-type": "text/event-stream" });
  const reader = (await context.createNewResumableStream(id, open)).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    response.write(value);
  }
  response.end();
}).listen(Number(process.env.PORT), "127.0.0.1", () => console.log("ready"));
