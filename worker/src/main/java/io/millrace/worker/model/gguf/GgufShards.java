package io.millrace.worker.model.gguf;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.weights.FolderFiles;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Opens the files of a split model, all from the folder of the one that was named. */
final class GgufShards {

    private static final String COUNT = "split.count";
    private static final String NUMBER = "split.no";

    private GgufShards() {}

    static boolean isSplit(GgufFile file) {
        return file.integer(COUNT, 1) > 1;
    }

    /** The files in order; {@code named} is one of them, and is closed when the others cannot be opened. */
    static List<GgufFile> open(GgufFile named) {
        List<GgufFile> open = new ArrayList<>();
        try {
            ShardName shard = shardName(named);
            Path folder = named.path().toAbsolutePath().getParent();
            for (int i = 1; i <= shard.count(); i++) {
                if (i == shard.number()) {
                    check(named, i, shard);
                    open.add(named);
                    continue;
                }
                Path path = named.path().resolveSibling(shard.name(i));
                if (!Files.exists(path)) {
                    throw broken(
                            named,
                            "has " + shard.count() + " parts, and " + path.getFileName() + " is not in " + folder);
                }
                FolderFiles.checkInside(path);
                GgufFile other = GgufFile.open(path);
                open.add(other);
                check(other, i, shard);
            }
            checkTensors(named, open);
            return open;
        } catch (RuntimeException e) {
            open.forEach(GgufFile::close);
            named.close();
            throw e;
        }
    }

    private static ShardName shardName(GgufFile named) {
        long count = named.integer(COUNT);
        String name = String.valueOf(named.path().getFileName());
        ShardName shard = ShardName.parse(name);
        if (shard == null || shard.count() != count) {
            throw broken(
                    named,
                    "is one of " + count + " parts by its " + COUNT + ", but its name is not of the form"
                            + " NAME-00001-of-0000N.gguf with that number, by which the others are found");
        }
        return shard;
    }

    private static void check(GgufFile file, int number, ShardName shard) {
        if (file.integer(COUNT, 1) != shard.count() || file.integer(NUMBER, -1) != number - 1) {
            throw broken(
                    file,
                    "says " + COUNT + " " + file.integer(COUNT, 1) + " and " + NUMBER + " " + file.integer(NUMBER, -1)
                            + " where " + shard.count() + " and " + (number - 1) + " belong to its name");
        }
    }

    private static void checkTensors(GgufFile named, List<GgufFile> files) {
        long found = files.stream().mapToLong(file -> file.names().size()).sum();
        long said = files.getFirst().integer("split.tensors.count", found);
        if (found != said) {
            throw broken(
                    named,
                    "is of a model with " + said + " tensors by its split.tensors.count; its parts have " + found);
        }
    }

    static MillraceException broken(GgufFile file, String what) {
        return new MillraceException(
                "MR-GGUF-008",
                file.path() + " " + what + ". Put all parts of one model, by their own names, into one folder.");
    }
}
