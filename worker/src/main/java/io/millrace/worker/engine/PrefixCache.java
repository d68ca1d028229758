package io.millrace.worker.engine;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.Map;

/**
 * Full blocks of one pool by what is in them. A block's name is a chained hash: of the block before it and its own ids, beginning
 * with model, adapter and salt; so equal names mean equal contexts from the first token on. Names are 128 bits of SHA-256: nobody
 * can make up a prompt that takes another one's blocks. Confined to the engine's thread.
 */
final class PrefixCache {

    /** 128 bits of SHA-256. */
    record BlockHash(long high, long low) {}

    private final Map<BlockHash, Integer> blocks = new HashMap<>();

    /** The block of that name, or -1. Does not change anything. */
    int find(BlockHash name) {
        return blocks.getOrDefault(name, -1);
    }

    /** False when another block has the name already. */
    boolean add(BlockHash name, int block) {
        return blocks.putIfAbsent(name, block) == null;
    }

    void remove(BlockHash name) {
        blocks.remove(name);
    }

    int size() {
        return blocks.size();
    }

    /** Computes names. Confined to one thread. */
    static final class Hasher {

        private final MessageDigest sha256;

        Hasher() {
            try {
                sha256 = MessageDigest.getInstance("SHA-256");
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException("Every Java platform has SHA-256.", e);
            }
        }

        /** What the first block's name is chained to. */
        BlockHash root(String model, int adapter, String salt) {
            byte[] name = model.getBytes(StandardCharsets.UTF_8);
            byte[] tenant = salt.getBytes(StandardCharsets.UTF_8);
            sha256.update(ByteBuffer.allocate(12)
                    .putInt(name.length)
                    .putInt(tenant.length)
                    .putInt(adapter)
                    .flip());
            sha256.update(name);
            return hash(tenant);
        }

        /** The name of a block after {@code parent} with the ids {@code ids[from .. from + count)}. */
        BlockHash next(BlockHash parent, int[] ids, int from, int count) {
            ByteBuffer bytes = ByteBuffer.allocate(16 + 4 * count);
            bytes.putLong(parent.high).putLong(parent.low);
            for (int i = from; i < from + count; i++) {
                bytes.putInt(ids[i]);
            }
            return hash(bytes.array());
        }

        private BlockHash hash(byte[] last) {
            ByteBuffer digest = ByteBuffer.wrap(sha256.digest(last));
            return new BlockHash(digest.getLong(), digest.getLong());
        }
    }
}
