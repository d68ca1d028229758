package io.millrace.standalone.fuzz;

import io.millrace.standalone.fuzz.ApiPage.Operation;
import io.millrace.standalone.fuzz.HttpCase.Answer;
import io.millrace.standalone.fuzz.HttpCase.Shape;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Requests that are wrong in their body, their query, their headers or as HTTP. Thread-safe. */
final class HttpCases {

    private static final String END = "\r\n";
    private static final List<String> IDS = List.of(
            "x",
            "%00",
            "%2e%2e%2f",
            "%zz",
            "..",
            ";a=b",
            "resp_",
            "chatcmpl-1",
            "file-x",
            "batch_",
            "%F0%9F%99%82",
            "a%2Fb",
            "%C0%80",
            "0123456789abcdef0123456789abcdef0123",
            "x".repeat(300),
            "alpha",
            "%25",
            "{id}",
            "+");
    private static final List<String> VALUES = List.of(
            "true",
            "false",
            "-1",
            "0",
            "99999999999999999999",
            "",
            "%00",
            "%zz",
            "a",
            "asc",
            "1e3",
            "%F0%9F",
            "x".repeat(200));
    private static final List<String> HEADERS = List.of(
            "Last-Event-ID: 1",
            "Last-Event-ID: \u0001",
            "Last-Event-ID: " + "x".repeat(500),
            "Idempotency-Key: ",
            "Idempotency-Key: " + "k".repeat(600),
            "Idempotency-Key: \u00e9",
            "traceparent: 00-0-0-0",
            "traceparent: " + "f".repeat(55),
            "tracestate: =,=",
            "Accept: text/xml",
            "Accept: ;;;",
            "Accept-Encoding: gzip, br",
            "X-Millrace-Event-Ids: maybe",
            "Origin: https://elsewhere.example",
            "Origin: :",
            "Range: bytes=5-1",
            "If-None-Match: \"",
            "Expect: 100-continue",
            "Content-Encoding: gzip",
            "Authorization: Bearer",
            "Authorization: Basic xx",
            "x-api-key: ",
            "x-request-id: \u00ff",
            "anthropic-version: 2023-06-01",
            "Cookie: a=b; =; ;",
            "Upgrade: websocket",
            "Upgrade: h2c",
            "Connection: upgrade",
            "Sec-WebSocket-Protocol: ,",
            "Forwarded: for=",
            "X-Forwarded-For: ,",
            "X-Forwarded-Prefix: //",
            "Host: y",
            "TE: x");
    private static final List<String> METHODS = List.of(
            "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND", "BREW", "get");
    private static final List<String> TYPES = List.of(
            "text/plain",
            "application/xml",
            "",
            "x",
            "application/json; charset=utf-16",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "application/x-www-form-urlencoded",
            "application/json;;",
            "*/*",
            "a/b/c");

    private final ApiPage page;
    private final JsonBodies bodies;

    HttpCases(ApiPage page) {
        this.page = page;
        this.bodies = new JsonBodies(page);
    }

    HttpCase make(Chance chance) {
        int kind = chance.below(100);
        if (kind < 60) {
            return body(chance);
        }
        if (kind < 75) {
            return envelope(chance);
        }
        return kind < 80 ? multipart(chance) : raw(chance);
    }

    /** A request whose body alone is wrong. */
    private HttpCase body(Chance chance) {
        Operation operation = posted(chance);
        byte[] body = bodies.malformed(java.util.Objects.requireNonNull(operation.schema()), chance);
        String head = "POST " + path(operation, chance) + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        return new HttpCase(
                "body", framed(head, body, chance.percent(10), chance), Answer.MUST, shape(operation), false);
    }

    private Operation posted(Chance chance) {
        return chance.of(
                page.operations().stream().filter(each -> each.schema() != null).toList());
    }

    /** A request whose method, path, query, type or headers are wrong; its body may be right. */
    private HttpCase envelope(Chance chance) {
        Operation operation = chance.of(page.operations());
        String method = chance.percent(40) ? chance.of(METHODS) : operation.method();
        String path = path(operation, chance);
        if (chance.percent(10)) {
            path = chance.one(
                    "/",
                    "//",
                    "/v1",
                    "/v1/",
                    "/nothing",
                    path + "/",
                    "/" + path,
                    path + "/x",
                    "/%",
                    "/v1/../v1/models",
                    "/\\");
        }
        var head = new StringBuilder(method + " " + path + query(operation, chance) + " HTTP/1.1\r\nHost: x\r\n");
        for (int i = chance.below(3); i > 0; i--) {
            head.append(chance.of(HEADERS)).append(END);
        }
        String type = chance.percent(30) ? chance.of(TYPES) : "application/json";
        if (!type.isEmpty()) {
            head.append("Content-Type: ").append(type).append(END);
        }
        byte[] body = new byte[0];
        if (operation.schema() != null && chance.percent(70)) {
            body = bodies.body(operation.schema(), chance).toString().getBytes(StandardCharsets.UTF_8);
        }
        String lines = head.toString();
        // What these ask for is another protocol, whose bytes are not ours.
        boolean upgrade = lines.contains("Upgrade: websocket") || method.equals("CONNECT");
        Shape shape = lines.contains("anthropic-version") || path.contains("messages") || path.contains("\\")
                ? Shape.EITHER
                : Shape.OPENAI;
        return new HttpCase(
                "envelope",
                framed(lines, body, false, chance),
                upgrade ? Answer.MAY : Answer.MUST,
                shape,
                method.equals("HEAD"));
    }

    private static String path(Operation operation, Chance chance) {
        return operation
                .path()
                .replaceAll("\\{[a-z]+}", chance.of(IDS).replace("{", "%7B").replace("}", "%7D"));
    }

    private static String query(Operation operation, Chance chance) {
        if (operation.query().isEmpty() ? chance.percent(85) : chance.percent(30)) {
            return "";
        }
        var query = new StringBuilder("?");
        for (int i = chance.below(3); i >= 0; i--) {
            String name = operation.query().isEmpty() || chance.percent(20)
                    ? chance.one("a", "", "%", "stream", "limit", "[]")
                    : chance.of(operation.query());
            query.append(name)
                    .append(chance.one("=", "=", "=", "", "=="))
                    .append(chance.of(VALUES))
                    .append('&');
        }
        return query.toString();
    }

    private HttpCase multipart(Chance chance) {
        String edge = chance.one("b", "b", "b", "x".repeat(80), "\"b\"");
        String name = edge.replace("\"", "");
        String line = "{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{}}\n";
        String part = "--" + name + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\""
                + chance.one("a.jsonl", "", "é", "../a", "a\\\"b") + "\"\r\n"
                + chance.one("", "Content-Type: x\r\n", "Content-Type: ;\r\n")
                + "\r\n" + chance.one(line, "", "x".repeat(100_000), line.repeat(50)) + "\r\n";
        String purpose = "--" + name + "\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n"
                + chance.one("batch", "", "assistants", "x".repeat(300_000)) + "\r\n";
        String whole = chance.percent(50) ? part + purpose : purpose + part;
        whole += "--" + name + "--\r\n";
        String text = switch (chance.below(9)) {
            case 0 -> whole.substring(0, chance.below(whole.length()));
            case 1 -> whole.replace("Content-Disposition", "X");
            case 2 -> whole.replace("form-data", "attachment");
            case 3 -> whole.replace("--" + name, "--other");
            case 4 -> whole.replace("\r\n", "\n");
            case 5 -> part + part + purpose + "--" + name + "--";
            case 6 -> "--" + name + "\r\n" + "X: y\r\n".repeat(3000) + "\r\nx\r\n--" + name + "--\r\n";
            case 7 -> "";
            default ->
                whole.replace("name=\"purpose\"", chance.one("name=purpose", "name=\"\"", "name=\"purpose", "nam"));
        };
        String head = "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=" + edge + END;
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        return new HttpCase(
                "multipart", framed(head, body, chance.percent(20), chance), Answer.MUST, Shape.OPENAI, false);
    }

    private static byte[] framed(String head, byte[] body, boolean chunked, Chance chance) {
        var out = new ByteArrayOutputStream(head.length() + body.length + 64);
        if (!chunked) {
            String length = body.length == 0 && !head.startsWith("POST") ? "" : "Content-Length: " + body.length + END;
            out.writeBytes((head + length + END).getBytes(StandardCharsets.ISO_8859_1));
            out.writeBytes(body);
            return out.toByteArray();
        }
        out.writeBytes((head + "Transfer-Encoding: chunked\r\n\r\n").getBytes(StandardCharsets.ISO_8859_1));
        for (int from = 0; from < body.length; ) {
            int count = Math.min(body.length - from, 1 + chance.below(Math.max(1, body.length)));
            out.writeBytes((Integer.toHexString(count) + END).getBytes(StandardCharsets.ISO_8859_1));
            out.write(body, from, count);
            out.writeBytes(END.getBytes(StandardCharsets.ISO_8859_1));
            from += count;
        }
        out.writeBytes("0\r\n\r\n".getBytes(StandardCharsets.ISO_8859_1));
        return out.toByteArray();
    }

    private HttpCase raw(Chance chance) {
        Operation operation = posted(chance);
        String json = bodies.body(java.util.Objects.requireNonNull(operation.schema()), chance)
                .toString();
        byte[] bytes = json.getBytes(StandardCharsets.UTF_8);
        String line = "POST " + operation.path() + " HTTP/1.1\r\nHost: x\r\n";
        String length = "Content-Length: " + bytes.length + END;
        byte[] good = framed(line, bytes, false, chance);
        int kind = chance.below(12);
        return switch (kind) {
            case 0 -> early("early close", java.util.Arrays.copyOf(good, 1 + chance.below(good.length - 1)));
            case 1 -> early("early close chunked", cut(framed(line, bytes, true, chance), chance));
            case 2, 3 -> line(chance);
            case 4, 5 -> header(line, length, json, chance);
            case 6, 7 -> chunks(line, json, chance);
            case 8 -> lengths(line, json, chance);
            case 9 -> new HttpCase("noise", chance.bytes(1 + chance.below(2000)), Answer.MAY, Shape.EITHER, false);
            case 10 -> {
                // The first answer is looked at; those behind it are in flight when the client goes.
                var twice = new ByteArrayOutputStream();
                twice.writeBytes(good);
                twice.writeBytes(chance.percent(50) ? good : chance.bytes(50));
                yield new HttpCase("pipelined", twice.toByteArray(), Answer.MUST, shape(operation), false);
            }
            default -> {
                good[chance.below(Math.min(good.length, line.length() + 20))] = (byte) chance.below(256);
                yield new HttpCase("a wrong byte", good, Answer.MAY, Shape.EITHER, false);
            }
        };
    }

    private static Shape shape(Operation operation) {
        return operation.path().startsWith("/v1/messages") ? Shape.ANTHROPIC : Shape.OPENAI;
    }

    private static byte[] cut(byte[] bytes, Chance chance) {
        return java.util.Arrays.copyOf(bytes, bytes.length - 1 - chance.below(bytes.length / 2));
    }

    private static HttpCase early(String kind, byte[] bytes) {
        return new HttpCase(kind, bytes, Answer.NONE, Shape.EITHER, false);
    }

    private static HttpCase text(String kind, String text, Answer answer) {
        return new HttpCase(kind, text.getBytes(StandardCharsets.ISO_8859_1), answer, Shape.EITHER, false);
    }

    private static HttpCase line(Chance chance) {
        String line = chance.one(
                "GET",
                "GET /",
                "GET / HTTP",
                "GET / HTTP/1",
                "GET / HTTP/9.9",
                "GET / HTTP/2.0",
                "GET  /  HTTP/1.1",
                " GET / HTTP/1.1",
                "GET / / HTTP/1.1",
                "\u0000 / HTTP/1.1",
                "G\u00e9T / HTTP/1.1",
                "GET /\u0000 HTTP/1.1",
                "GET /\u00ff HTTP/1.1",
                "GET http://x/v1/models HTTP/1.1",
                "GET * HTTP/1.1",
                "GET /v1/models?" + "q".repeat(5000) + " HTTP/1.1",
                "X".repeat(5000) + " / HTTP/1.1",
                "GET / HTTP/1.1\rX: y",
                "PRI * HTTP/2.0\r\n\r\nSM",
                "GET /[ HTTP/1.1",
                "GET /%%% HTTP/1.1",
                "GET ?a HTTP/1.1",
                "GET //[::1 HTTP/1.1",
                "GET x:y HTTP/1.1",
                "GET http:// HTTP/1.1",
                "\u0016\u0003\u0001\u0002\u0000\u0001",
                "GET /v1/models#a HTTP/1.1",
                "GET /v1/models\\..\\ HTTP/1.1");
        return text(
                "request line", line + chance.one("\r\n", "\n") + chance.one("", "Host: x\r\n") + "\r\n", Answer.MAY);
    }

    private static HttpCase header(String line, String length, String json, Chance chance) {
        String header = chance.one(
                "NoColon",
                ": novalue",
                "Sp ace: x",
                "X : y",
                "X\u0000: y",
                "X: \u0000",
                "X: a\rb",
                " folded: x",
                "X: y\r\n folded",
                "X: " + "y".repeat(9000),
                "X: y\r\n".repeat(900) + "Z: z",
                "\u00e9: x",
                "Content-Type",
                "Host: \u0000",
                "Host: a b",
                "Connection: close",
                "Connection: \u0001",
                "Content-Type: application/json\r\nContent-Type: text/plain",
                "():<>@: x",
                "Expect: x",
                "Transfer-Encoding: gzip",
                "Transfer-Encoding: chunked, identity",
                "Transfer-Encoding: \u000bchunked");
        return text("header", line + header + END + length + END + json, Answer.MAY);
    }

    private static HttpCase chunks(String line, String json, Chance chance) {
        String size = Integer.toHexString(json.length());
        String chunk = chance.one(
                "xyz\r\n",
                "-1\r\n",
                "\r\n",
                "FFFFFFFFFFFFFFFFF\r\n",
                "7fffffff\r\n{",
                size + ";" + "e".repeat(5000) + END + json + END,
                size + END + json + "nothing",
                size + END + json + END + "0\r\nBad\u0000: x\r\n\r\n",
                "1\r\n{\r\n0\r\n\r\n",
                "0\r\n\r\n",
                size + END + json + END + "zz\r\n",
                " 5\r\n",
                "5 \r\n{\r\n",
                "0x5\r\n",
                size + "\n" + json + "\n0\n\n");
        return text("chunks", line + "Transfer-Encoding: chunked\r\n\r\n" + chunk, Answer.MAY);
    }

    private static HttpCase lengths(String line, String json, Chance chance) {
        int right = json.length();
        String lengths = chance.one(
                "Content-Length: -1",
                "Content-Length: x",
                "Content-Length: 99999999999999999999",
                "Content-Length: 1, 2",
                "Content-Length: " + right + "\r\nContent-Length: " + (right + 1),
                "Content-Length: +5",
                "Content-Length: 5 5",
                "Content-Length: " + right + "\r\nTransfer-Encoding: chunked",
                "Content-Length: 0x10",
                "Content-Length:",
                "Content-Length: " + (right / 2));
        return text("lengths", line + lengths + "\r\n\r\n" + json, Answer.MAY);
    }
}
