package io.millrace.worker.backend.cpu;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.model.weights.WeightSource;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.TreeSet;
import java.util.zip.CRC32C;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A model's packed weights in a file, so that the next start does not pack them again. It is taken only when it was made by this
 * library from these very files (their names, sizes, times and contents by sample) and every checksum is right; otherwise it is made
 * again. Written beside and moved into place, so that no reader sees half of it.
 */
final class RepackCache {

    private static final Logger LOG = LoggerFactory.getLogger(RepackCache.class);

    private static final long MAGIC = 0x4D52_5041_434B_3031L;
    private static final int ENTRY_BYTES = 4 + 8 + 4;
    private static final int FIXED_BYTES = 8 + 32 + 4 + 4;
    private static final int ALIGNMENT = 64;

    private final Path file;
    private final byte[] identity;

    /** One weight: its handle in the program, the bytes of its packed form and their checksum. */
    private record Entry(int handle, long bytes, int crc) {}

    private RepackCache(Path file, byte[] identity) {
        this.file = file;
        this.identity = identity;
    }

    /** MR-CPU-004 when the folder cannot be made or is none. */
    static RepackCache of(Path folder, Path library, String numerics, int[] program, WeightSource source) {
        try {
            Files.createDirectories(folder);
            String kernels = numerics.replaceAll("-kv-.*", "");
            String name = String.format("%016x-%s.packed", source.hash(), kernels);
            return new RepackCache(folder.resolve(name), identity(library, kernels, program, source));
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-CPU-004",
                    "The folder " + folder + " of --repack-cache cannot be used: " + e
                            + ". Name one that can be written, or leave the option out.",
                    e);
        }
    }

    private static byte[] identity(Path library, String kernels, int[] program, WeightSource source)
            throws IOException {
        MessageDigest sha = sha256();
        sha.update(Files.readAllBytes(library));
        sha.update(kernels.getBytes(StandardCharsets.UTF_8));
        ByteBuffer words = ByteBuffer.allocate(4 * program.length + 8);
        words.asIntBuffer().put(program);
        sha.update(words.putLong(4 * program.length, source.hash()).array());
        TreeSet<String> files = new TreeSet<>();
        for (String tensor : source.names()) {
            files.add(source.tensor(tensor).file());
        }
        for (String name : files) {
            Path path = Path.of(name);
            if (!name.isEmpty() && Files.isRegularFile(path)) {
                String stamp = path.getFileName() + " " + Files.size(path) + " " + Files.getLastModifiedTime(path);
                sha.update(stamp.getBytes(StandardCharsets.UTF_8));
            }
        }
        return sha.digest();
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Gives every weight to the kernels as it was kept; false when all are to be bound from the source. */
    boolean restore(NativeKernels kernels, long model, List<Integer> handles, LoadProgress progress) {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            List<Entry> entries = header(channel, handles);
            long total = entries.stream().mapToLong(Entry::bytes).sum();
            long largest = entries.stream().mapToLong(Entry::bytes).max().orElse(0);
            long at = FIXED_BYTES + (long) ENTRY_BYTES * entries.size();
            long done = 0;
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment buffer = arena.allocate(Math.max(1, largest), ALIGNMENT);
                for (Entry entry : entries) {
                    MemorySegment part = buffer.asSlice(0, entry.bytes());
                    readFully(channel, at, part);
                    if (crc(part) != entry.crc()) {
                        throw new IOException("weight " + entry.handle() + " is damaged");
                    }
                    kernels.bindPacked(model, entry.handle(), part);
                    at += entry.bytes();
                    done += entry.bytes();
                    progress.at("weights", (double) done / Math.max(1, total));
                }
            }
            return true;
        } catch (NoSuchFileException first) {
            return false;
        } catch (IOException | MillraceException e) {
            LOG.info("{} is made again: {}", file, e.getMessage());
            return false;
        }
    }

    private List<Entry> header(FileChannel channel, List<Integer> handles) throws IOException {
        int size = FIXED_BYTES + ENTRY_BYTES * handles.size();
        ByteBuffer header = ByteBuffer.allocate(size);
        if (channel.size() < size || channel.read(header, 0) != size) {
            throw new IOException("it is cut short");
        }
        header.flip();
        byte[] found = new byte[identity.length];
        long magic = header.getLong();
        header.get(found);
        if (magic != MAGIC || !Arrays.equals(found, identity)) {
            throw new IOException("it is of other files or another build");
        }
        int count = header.getInt();
        int sum = header.getInt();
        CRC32C crc = new CRC32C();
        crc.update(header.array(), FIXED_BYTES, size - FIXED_BYTES);
        if (count != handles.size() || sum != (int) crc.getValue()) {
            throw new IOException("its list of weights is damaged");
        }
        Entry[] entries = new Entry[count];
        long end = size;
        for (int i = 0; i < count; i++) {
            entries[i] = new Entry(header.getInt(), header.getLong(), header.getInt());
            end += entries[i].bytes();
        }
        if (end != channel.size()
                || !Arrays.stream(entries).map(Entry::handle).toList().equals(handles)) {
            throw new IOException("it is cut short");
        }
        return List.of(entries);
    }

    private static void readFully(FileChannel channel, long at, MemorySegment out) throws IOException {
        long chunk = 1 << 26;
        for (long done = 0; done < out.byteSize(); ) {
            ByteBuffer buffer =
                    out.asSlice(done, Math.min(chunk, out.byteSize() - done)).asByteBuffer();
            int n = channel.read(buffer, at + done);
            if (n <= 0) {
                throw new IOException("it is cut short");
            }
            done += n;
        }
    }

    private static int crc(MemorySegment bytes) {
        CRC32C crc = new CRC32C();
        long chunk = 1 << 26;
        for (long done = 0; done < bytes.byteSize(); done += chunk) {
            crc.update(bytes.asSlice(done, Math.min(chunk, bytes.byteSize() - done))
                    .asByteBuffer());
        }
        return (int) crc.getValue();
    }

    /** Keeps what the kernels have; a failure is logged, and the model is served all the same. */
    void keep(NativeKernels kernels, long model, List<Integer> handles) {
        Path beside =
                file.resolveSibling(file.getFileName() + "." + HexFormat.of().toHexDigits(System.nanoTime()) + ".tmp");
        try {
            write(beside, kernels, model, handles);
            Files.move(beside, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            LOG.info("Packed weights are kept in {} ({} MiB)", file, Files.size(file) >> 20);
        } catch (IOException e) {
            LOG.warn(
                    "[MR-CPU-004] The packed weights cannot be kept in {}: {}. The next start packs them again.",
                    file,
                    e.toString());
            try {
                Files.deleteIfExists(beside);
            } catch (IOException left) {
                LOG.warn("{} is left behind: {}", beside, left.toString());
            }
        }
    }

    private void write(Path path, NativeKernels kernels, long model, List<Integer> handles) throws IOException {
        int size = FIXED_BYTES + ENTRY_BYTES * handles.size();
        ByteBuffer header = ByteBuffer.allocate(size).position(FIXED_BYTES);
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            long at = size;
            for (int handle : handles) {
                try (Arena arena = Arena.ofConfined()) {
                    MemorySegment packed = kernels.packed(model, handle, arena);
                    writeFully(channel, at, packed);
                    header.putInt(handle).putLong(packed.byteSize()).putInt(crc(packed));
                    at += packed.byteSize();
                }
            }
            CRC32C crc = new CRC32C();
            crc.update(header.array(), FIXED_BYTES, size - FIXED_BYTES);
            header.rewind().putLong(MAGIC).put(identity).putInt(handles.size()).putInt((int) crc.getValue());
            writeFully(channel, 0, MemorySegment.ofArray(header.array()));
            channel.force(true);
        }
    }

    private static void writeFully(FileChannel channel, long at, MemorySegment bytes) throws IOException {
        long chunk = 1 << 26;
        for (long done = 0; done < bytes.byteSize(); ) {
            ByteBuffer buffer = bytes.asSlice(done, Math.min(chunk, bytes.byteSize() - done))
                    .asByteBuffer();
            done += channel.write(buffer, at + done);
        }
    }
}
