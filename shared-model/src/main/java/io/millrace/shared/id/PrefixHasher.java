package io.millrace.shared.id;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Chained 64-bit hashes of a prompt's text, one for each whole chunk of 256 bytes: hash i covers everything up to chunk i, so
 * equal hashes mean equal prefixes. Gateway, router and worker derive them alike, to place a request where its prefix is
 * cached.
 *
 * <p>The chain starts from (model, adapter, tenant salt); then come the parts in the prompt's order, each as role, 0x1F,
 * content, 0x1E in UTF-8. Not cryptographic: a hint, never an identity. Not thread-safe.
 */
public final class PrefixHasher {

    /** Bytes a hash adds to the one before it. */
    public static final int CHUNK_BYTES = 256;

    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    private final byte[] chunk = new byte[CHUNK_BYTES];
    private final List<Long> hashes = new ArrayList<>();
    private final int chunksMax;
    private int filled;
    private long chain;

    /**
     * @param adapter name of the adapter, or empty
     * @param salt the tenant's cache salt, or empty
     * @param chunksMax most hashes made; text beyond them is not looked at
     */
    public PrefixHasher(String model, String adapter, String salt, int chunksMax) {
        this.chunksMax = chunksMax;
        long start = 0x6d696c6c72616365L;
        for (String field : List.of(model, adapter, salt)) {
            byte[] bytes = field.getBytes(StandardCharsets.UTF_8);
            start = mix(start + bytes.length);
            for (byte b : bytes) {
                start = mix(start ^ (b & 0xff));
            }
        }
        chain = start;
    }

    /** Adds one message, or with an empty role a plain prompt. */
    public PrefixHasher add(String role, String content) {
        put(role.getBytes(StandardCharsets.UTF_8));
        put(new byte[] {0x1f});
        put(content.getBytes(StandardCharsets.UTF_8));
        put(new byte[] {0x1e});
        return this;
    }

    /** Hashes of the whole chunks so far. */
    public List<Long> hashes() {
        return List.copyOf(hashes);
    }

    private void put(byte[] bytes) {
        int from = 0;
        while (from < bytes.length && hashes.size() < chunksMax) {
            int part = Math.min(bytes.length - from, CHUNK_BYTES - filled);
            System.arraycopy(bytes, from, chunk, filled, part);
            filled += part;
            from += part;
            if (filled == CHUNK_BYTES) {
                for (int i = 0; i < CHUNK_BYTES; i += Long.BYTES) {
                    chain = mix(chain ^ (long) LONGS.get(chunk, i));
                }
                hashes.add(chain);
                filled = 0;
            }
        }
    }

    /** The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64 bits. */
    private static long mix(long value) {
        long z = value + 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
