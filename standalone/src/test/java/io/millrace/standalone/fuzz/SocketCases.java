package io.millrace.standalone.fuzz;

import io.millrace.standalone.fuzz.ApiPage.Operation;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** What is sent over WebSockets: handshakes and frames that break RFC 6455, and messages that are none of this API's. Thread-safe. */
final class SocketCases {

    private static final int TEXT = 1;
    private static final int PING = 9;
    private static final int CLOSE = 8;

    /**
     * A connection's bytes.
     *
     * @param handshake whether it can be accepted
     * @param frames sent one after the other
     */
    record Session(String kind, byte[] hello, boolean handshake, List<byte[]> frames) {}

    private final JsonBodies bodies;
    private final JsonNode schema;
    private final String path;

    SocketCases(ApiPage page) {
        this.bodies = new JsonBodies(page);
        Operation operation = page.operations().stream()
                .filter(each -> each.path().endsWith("/responses") && each.schema() != null)
                .findFirst()
                .orElseThrow();
        this.schema = java.util.Objects.requireNonNull(operation.schema());
        this.path = operation.path();
    }

    Session make(Chance chance) {
        if (chance.percent(10)) {
            return new Session("handshake", hello(chance), false, List.of());
        }
        List<byte[]> frames = new ArrayList<>();
        boolean protocol = chance.percent(40);
        for (int i = chance.below(5); i >= 0; i--) {
            if (protocol) {
                broken(frames, chance);
            } else {
                frames.add(frame(true, TEXT, message(chance), true));
            }
        }
        return new Session(protocol ? "frames" : "messages", hello(""), true, frames);
    }

    private byte[] hello(String more) {
        return ("GET " + path
                        + " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + more + "\r\n")
                .getBytes(StandardCharsets.ISO_8859_1);
    }

    private byte[] hello(Chance chance) {
        String text = new String(hello(""), StandardCharsets.ISO_8859_1);
        String wrong = switch (chance.below(7)) {
            case 0 -> text.replace("Version: 13", "Version: " + chance.one("12", "0", "x", ""));
            case 1 -> text.replaceFirst("Sec-WebSocket-Key: [^\r]*\r\n", "");
            case 2 -> text.replace("dGhlIHNhbXBsZSBub25jZQ==", chance.one("", "x", "\u00ff", "A".repeat(3000)));
            case 3 -> text.replace("Connection: Upgrade", "Connection: keep-alive");
            case 4 -> text.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n");
            case 5 -> text.replace("Upgrade: websocket", "Upgrade: websockets");
            default -> text.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate; x=\"\r\n\r\n");
        };
        return wrong.getBytes(StandardCharsets.ISO_8859_1);
    }

    private byte[] message(Chance chance) {
        ObjectNode body = bodies.body(schema, chance);
        if (chance.percent(20)) {
            return bodies.malformed(schema, chance);
        }
        body.put(
                "type",
                chance.one("response.create", "response.create", "response.cancel", "response.resume", "x", ""));
        if (chance.percent(20)) {
            body.put("stream_id", chance.one("a", "b", "", "x".repeat(200)));
        }
        if (chance.percent(20)) {
            body.put("response_id", chance.one("resp_1", "", "resp_0123456789abcdef0123456789abcdef0123"));
        }
        if (chance.percent(20)) {
            body.put("starting_after", chance.one(-2L, 0L, Long.MAX_VALUE));
        }
        if (chance.percent(15)) {
            body.set("response", body.deepCopy());
        }
        return body.toString().getBytes(StandardCharsets.UTF_8);
    }

    private void broken(List<byte[]> frames, Chance chance) {
        byte[] text = message(chance);
        switch (chance.below(14)) {
            case 0 -> frames.add(frame(true, 3 + chance.below(5), text, true));
            case 1 -> frames.add(frame(true, TEXT, text, false));
            case 2 -> frames.add(frame(true, 0, text, true));
            case 3 -> {
                frames.add(frame(false, TEXT, text, true));
                frames.add(frame(true, TEXT, text, true));
            }
            case 4 -> {
                frames.add(frame(false, TEXT, java.util.Arrays.copyOf(text, text.length / 2), true));
                frames.add(frame(true, PING, new byte[0], true));
                frames.add(frame(true, 0, java.util.Arrays.copyOfRange(text, text.length / 2, text.length), true));
            }
            case 5 -> frames.add(frame(true, TEXT, new byte[] {(byte) 0xff, (byte) 0xc0, (byte) 0x80}, true));
            case 6 -> frames.add(frame(true, 2, chance.bytes(chance.below(200)), true));
            case 7 -> frames.add(frame(true, PING, new byte[126 + chance.below(100)], true));
            case 8 ->
                frames.add(frame(
                        true,
                        CLOSE,
                        chance.one(
                                new byte[0],
                                new byte[] {3},
                                new byte[] {3, (byte) 0xe8},
                                new byte[] {0, 0},
                                new byte[] {3, (byte) 0xed},
                                new byte[] {(byte) 0xff, (byte) 0xff},
                                new byte[] {3, (byte) 0xe8, (byte) 0xff}),
                        true));
            case 9 -> {
                byte[] ping = frame(true, PING, "ping".getBytes(StandardCharsets.US_ASCII), true);
                for (int i = 0; i < 200; i++) {
                    frames.add(ping);
                }
            }
            case 10 -> {
                byte[] reserved = frame(true, TEXT, text, true);
                reserved[0] |= (byte) (chance.one(0x10, 0x20, 0x40) & 0xff);
                frames.add(reserved);
            }
            case 11 -> frames.add(new byte[] {(byte) 0x81, (byte) 0xff, 0x7f, -1, -1, -1, -1, -1, -1, -1, 1, 2, 3, 4});
            case 12 -> frames.add(java.util.Arrays.copyOf(frame(true, TEXT, text, true), 3));
            default -> frames.add(chance.bytes(1 + chance.below(100)));
        }
    }

    private static byte[] frame(boolean last, int opcode, byte[] payload, boolean masked) {
        var out = new ByteArrayOutputStream(payload.length + 14);
        out.write((last ? 0x80 : 0) | opcode);
        int mask = masked ? 0x80 : 0;
        if (payload.length < 126) {
            out.write(mask | payload.length);
        } else if (payload.length < 65_536) {
            out.write(mask | 126);
            out.write(payload.length >> 8);
            out.write(payload.length);
        } else {
            out.write(mask | 127);
            for (int shift = 56; shift >= 0; shift -= 8) {
                out.write((int) ((long) payload.length >> shift));
            }
        }
        byte[] key = {1, 2, 3, 4};
        if (masked) {
            out.writeBytes(key);
        }
        for (int i = 0; i < payload.length; i++) {
            out.write(masked ? payload[i] ^ key[i % 4] : payload[i]);
        }
        return out.toByteArray();
    }
}
