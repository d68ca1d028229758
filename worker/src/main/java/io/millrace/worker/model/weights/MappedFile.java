package io.millrace.worker.model.weights;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.function.Function;

/** A whole file, mapped read-only. Thread-safe; the bytes are valid until {@link #close}. */
public final class MappedFile implements AutoCloseable {

    private final Path path;
    private final Arena arena;
    private final MemorySegment bytes;

    private MappedFile(Path path, Arena arena, MemorySegment bytes) {
        this.path = path;
        this.arena = arena;
        this.bytes = bytes;
    }

    /** Maps {@code path}; MR-WEIGHTS-001 when it is missing, no plain file or not readable. */
    @SuppressWarnings("MustBeClosedChecker") // close() closes the arena
    public static MappedFile open(Path path) {
        if (Files.isDirectory(path)) {
            throw new MillraceException(
                    "MR-WEIGHTS-001", path + " is a folder where a file was expected. Name a model file.");
        }
        Arena arena = Arena.ofShared();
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            MemorySegment mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
            return new MappedFile(path, arena, mapped.asReadOnly());
        } catch (NoSuchFileException e) {
            arena.close();
            throw new MillraceException(
                    "MR-WEIGHTS-001", path + " does not exist. Check the path, or fetch the model again.", e);
        } catch (IOException | UnsupportedOperationException e) {
            arena.close();
            throw new MillraceException(
                    "MR-WEIGHTS-001",
                    path + " cannot be read: " + e + ". Check that it is a plain file and its permissions.",
                    e);
        }
    }

    /**
     * What {@code parse} makes of the file, which it then owns; when it fails the file is closed again. MR-WEIGHTS-001 as of {@link
     * #open}, MR-WEIGHTS-002 when a read faults.
     */
    public static <T> T open(Path path, Function<MappedFile, T> parse) {
        MappedFile file = open(path);
        try {
            return parse.apply(file);
        } catch (MillraceException e) {
            file.close();
            throw e;
        } catch (InternalError e) {
            file.close();
            throw fault(path.toString(), e);
        }
    }

    public Path path() {
        return path;
    }

    /** All bytes of the file, as many as it had when it was opened. */
    public MemorySegment bytes() {
        return bytes;
    }

    /** What to throw when a read faults: the file became shorter, or its disk failed, after it was mapped. */
    public static MillraceException fault(String what, InternalError cause) {
        return new MillraceException(
                "MR-WEIGHTS-002",
                what + " cannot be read any more: its file was cut short or its disk failed while it was in use."
                        + " Restore the file and restart; replace model files by renaming, never in place.",
                cause);
    }

    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }
}
