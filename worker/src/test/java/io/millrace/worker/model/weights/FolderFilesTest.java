package io.millrace.worker.model.weights;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.safetensors.SafetensorsFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Links in a model's folder. */
class FolderFilesTest {

    @TempDir
    private Path temp;

    private Path folder = Path.of("");

    @BeforeEach
    void folders() throws IOException {
        folder = Files.createDirectory(temp.resolve("model"));
    }

    @Test
    void aLinkOutOfTheFolderIsNamedWithItsTarget() throws IOException {
        Path secret = Files.writeString(temp.resolve("secret.json"), "{}");
        Path link = Files.createSymbolicLink(folder.resolve("tokenizer.json"), Path.of("..", "secret.json"));
        assertThatThrownBy(() -> FolderFiles.checkAll(folder))
                .isInstanceOf(MillraceException.class)
                .hasMessageContaining(link.toString())
                .hasMessageContaining(secret.toRealPath().toString());
    }

    @Test
    void aChainOfLinksIsFollowedToItsEnd() throws IOException {
        Path outside = Files.writeString(temp.resolve("x.safetensors"), "");
        Files.createSymbolicLink(folder.resolve("hop"), outside);
        Files.createSymbolicLink(folder.resolve("model.safetensors"), Path.of("hop"));
        assertThatThrownBy(() -> FolderFiles.checkAll(folder)).hasMessageContaining("out of the model's folder");
    }

    @Test
    void linksWithinTheFolderAndFilesThatNoModelIsReadFromArePassed() throws IOException {
        Files.writeString(folder.resolve("a.json"), "{}");
        Files.createSymbolicLink(folder.resolve("b.json"), Path.of("a.json"));
        Files.createSymbolicLink(folder.resolve("gone.json"), Path.of("nothing"));
        Files.createSymbolicLink(folder.resolve("data"), temp);
        FolderFiles.checkAll(folder);
        FolderFiles.checkAll(Files.createSymbolicLink(temp.resolve("linked"), folder));
    }

    @Test
    void theCacheOfHuggingFaceIsReadThroughItsLinks() throws IOException {
        Path blobs = Files.createDirectories(temp.resolve("models--org--name/blobs"));
        Path snapshot = Files.createDirectories(temp.resolve("models--org--name/snapshots/0123"));
        Files.writeString(blobs.resolve("abc"), "{}");
        Files.createSymbolicLink(snapshot.resolve("config.json"), Path.of("../../blobs/abc"));
        FolderFiles.checkAll(snapshot);
        Files.createSymbolicLink(snapshot.resolve("evil.json"), Path.of("../../../secret"));
        Files.writeString(temp.resolve("secret"), "");
        assertThatThrownBy(() -> FolderFiles.checkAll(snapshot)).hasMessageContaining("evil.json");
    }

    @Test
    void aShardThatLeadsElsewhereIsNotOpened() throws IOException {
        Files.createSymbolicLink(
                folder.resolve("s.safetensors"),
                Golden.path("safetensors/bad/good.safetensors").toAbsolutePath());
        Files.writeString(
                folder.resolve("model.safetensors.index.json"), "{\"weight_map\": {\"a\": \"s.safetensors\"}}");
        assertThatThrownBy(() -> SafetensorsFolder.open(folder)).hasMessageContaining("was not opened");
    }
}
