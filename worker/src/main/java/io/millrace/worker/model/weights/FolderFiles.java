package io.millrace.worker.model.weights;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Keeps a model's folder from leading elsewhere by its links. */
public final class FolderFiles {

    private static final List<String> KINDS = List.of(".json", ".safetensors", ".gguf", ".jinja", ".txt", ".model");

    private FolderFiles() {}

    /** Checks every file of the kinds that models are read from. MR-WEIGHTS-007 names the first that leads elsewhere. */
    public static void checkAll(Path folder) {
        List<Path> links;
        try (Stream<Path> files = Files.list(folder)) {
            links = files.filter(file -> KINDS.stream().anyMatch(file.toString()::endsWith))
                    .filter(Files::isSymbolicLink)
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-WEIGHTS-001", folder + " cannot be listed: " + e + ". Check its permissions.", e);
        }
        links.forEach(FolderFiles::checkInside);
    }

    /**
     * A link must lead to a file of its own folder, or of {@code blobs} where the folder is in {@code snapshots} beside it, as Hugging
     * Face's cache has it. MR-WEIGHTS-007 otherwise; a link to nothing is left to who opens it.
     */
    public static void checkInside(Path file) {
        if (!Files.isSymbolicLink(file)) {
            return;
        }
        try {
            Path folder = file.toAbsolutePath().normalize().getParent();
            if (folder == null || !Files.exists(file)) {
                return;
            }
            Path target = file.toRealPath();
            Path real = folder.toRealPath();
            Path blobs = blobs(real);
            if (!target.startsWith(real) && (blobs == null || !target.startsWith(blobs))) {
                throw new MillraceException(
                        "MR-WEIGHTS-007",
                        file + " is a link to " + target + ", out of the model's folder, and was not opened."
                                + " Put the file itself there, or name the folder that holds it.");
            }
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-WEIGHTS-001", file + " cannot be read: " + e + ". Check its permissions.", e);
        }
    }

    private static @Nullable Path blobs(Path folder) {
        for (Path at = folder; at != null; at = at.getParent()) {
            if (at.getFileName() != null && at.getFileName().toString().equals("snapshots")) {
                return at.resolveSibling("blobs");
            }
        }
        return null;
    }
}
