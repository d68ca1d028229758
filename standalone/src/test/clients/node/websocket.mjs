// Node's own WebSocket, which has the interface of browsers.
import { checks } from "../browser/socket.mjs";
import { report } from "./report.mjs";

await report(await checks(process.env.MILLRACE_SOCKET, process.env.OPENAI_API_KEY, process.env.MILLRACE_MODEL));
process.exit(0);
