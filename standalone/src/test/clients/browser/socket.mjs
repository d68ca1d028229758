// What a page does with a plain WebSocket of /v1/responses: two responses in turn, an error between them, a key that is wrong.
// Runs in a browser, and in Node, whose WebSocket is built in. A page cannot set headers: the key is one of the sub-protocols.
function open(url, key) {
  const socket = new WebSocket(url, ["millrace", "openai-insecure-api-key." + key]);
  const waiting = [];
  const come = [];
  const put = (what) => (waiting.length ? waiting.shift()(what) : come.push(what));
  socket.onopen = () => put({ type: "open", protocol: socket.protocol });
  socket.onmessage = (event) => put(JSON.parse(event.data));
  socket.onclose = (event) => put({ type: "close", code: event.code });
  return {
    socket,
    next: () => (come.length ? Promise.resolve(come.shift()) : new Promise((resolve) => waiting.push(resolve))),
  };
}

function expect(truth, what) {
  if (!truth) {
    throw new Error(what);
  }
}

export async function checks(url, key, model) {
  const { socket, next } = open(url, key);
  const opened = await next();
  expect(opened.type === "open", JSON.stringify(opened));
  const respond = async (input) => {
    socket.send(JSON.stringify({ type: "response.create", model, input, max_output_tokens: 8, temperature: 0 }));
    const events = [];
    do {
      events.push(await next());
    } while (!["response.incomplete", "response.completed", "error", "close"].includes(events.at(-1).type));
    return events;
  };
  const first = await respond("Hello");
  const second = await respond("Good day to you");
  socket.send(JSON.stringify({ type: "response.create", model: "none", input: "x" }));
  const error = await next();
  const third = await respond("Hello");
  socket.close(1000);
  const closed = await next();
  const wrong = open(url, "wrong");
  const refused = await wrong.next();
  const text = (events) => events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");
  return {
    "a sub-protocol is chosen": () => expect(opened.protocol === "millrace", JSON.stringify(opened)),
    stream: () => {
      expect(first[0].type === "response.created" && first.at(-1).type === "response.incomplete", JSON.stringify(first));
      expect(first.every((event, number) => event.sequence_number === number), "sequence numbers");
      expect(first.filter((event) => event.type === "response.output_text.delta").length > 3, "deltas");
    },
    "responses in turn": () => {
      expect(second.at(-1).type === "response.incomplete", JSON.stringify(second));
      expect(text(first) !== "" && text(first) === text(third) && text(second) !== "", "texts");
    },
    "an error leaves the connection": () => expect(error.type === "error" && error.status === 404 && error.error.code === "model_not_found", JSON.stringify(error)),
    close: () => expect(closed.type === "close" && closed.code === 1000, JSON.stringify(closed)),
    "a wrong key": () => expect(refused.type === "close" && refused.code === 1006, JSON.stringify(refused)),
  };
}
