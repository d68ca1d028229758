package io.millrace.worker.model.hub;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A folder of the model cache: one writer at a time among all processes, whole files only. */
final class CacheFolder {

    private static final long POLL_MS = 200;
    private static final long FULL_BYTES = 1 << 20;

    private final Path folder;

    CacheFolder(Path folder) {
        this.folder = folder;
    }

    Path folder() {
        return folder;
    }

    /** What to do while no other thread or process writes here. */
    interface Locked<T> {
        T run() throws IOException;
    }

    /** Runs {@code action} alone; waits for others, saying so to {@code progress}. MR-HUB-008 when the folder cannot be written. */
    <T> T locked(Progress progress, Locked<T> action) {
        try {
            Files.createDirectories(folder);
            try (FileChannel channel =
                    FileChannel.open(folder.resolve(".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                boolean told = false;
                FileLock lock = tryLock(channel);
                while (lock == null) {
                    if (!told) {
                        progress.onProgress("waiting for another download into " + folder, 0, -1);
                        told = true;
                    }
                    pause();
                    lock = tryLock(channel);
                }
                try (FileLock held = lock) {
                    return action.run();
                }
            }
        } catch (IOException e) {
            throw unwritable(e);
        }
    }

    private static @Nullable FileLock tryLock(FileChannel channel) throws IOException {
        try {
            return channel.tryLock();
        } catch (OverlappingFileLockException e) {
            return null;
        }
    }

    private void pause() {
        try {
            Thread.sleep(POLL_MS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new MillraceException("MR-HUB-008", "Interrupted while waiting for the lock of " + folder + ".", e);
        }
    }

    /** Puts a finished file in its place, in one step. */
    static void publish(Path part, Path target) throws IOException {
        try (FileChannel channel = FileChannel.open(part, StandardOpenOption.WRITE)) {
            channel.force(true);
        }
        Files.move(part, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    /** MR-HUB-008 when fewer than {@code bytes} are free. */
    void checkSpace(long bytes) throws IOException {
        long free = Files.getFileStore(folder).getUsableSpace();
        if (free < bytes) {
            throw new MillraceException(
                    "MR-HUB-008",
                    "The model needs " + (bytes >> 20) + " MiB in " + folder + ", where " + (free >> 20)
                            + " MiB are free. Make room, or set MILLRACE_CACHE to a folder on a larger disk.");
        }
    }

    /** Whether it may be written and has room: an error that happened here has another cause then. */
    boolean isUsable() {
        try {
            return Files.isWritable(folder) && Files.getFileStore(folder).getUsableSpace() >= FULL_BYTES;
        } catch (IOException e) {
            return false;
        }
    }

    /** Removes what an earlier process left in folders of its own when it was killed. */
    void sweep(String prefix) throws IOException {
        try (Stream<Path> list = Files.list(folder)) {
            for (Path left : list.filter(f -> f.getFileName().toString().startsWith(prefix))
                    .toList()) {
                deleteAll(left);
            }
        }
    }

    static void deleteAll(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        }
    }

    MillraceException unwritable(IOException e) {
        return new MillraceException(
                "MR-HUB-008",
                "The model cache " + folder + " cannot be written: " + e
                        + ". Check its permissions and free space, or set MILLRACE_CACHE to another folder.",
                e);
    }
}
