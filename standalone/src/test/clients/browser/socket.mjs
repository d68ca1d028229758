// What a page does with a plain WebSocket of /v1/responses: responses in turn and an error between them.
// Runs in a browser, and in Node, whose WebSocket is built in.
function open(url) {
  const socket = new WebSocket(url);
  const waiting = [];
  const come = [];
  const put = (what) => (waiting.length ? waiting.shift()(what) : come.push(what));
  socket.onopen = () => put({ type: "open" });
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

export async function checks(url, model) {
  const { socket, next } = open(url);
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
  const text = (events) => events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");
  return {
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
  };
}
