package io.millrace.worker.model.hub;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * The Hugging Face hub over HTTP: asks for files, downloads them into {@code .part} files that a later try continues, and checks
 * them. {@link HttpURLConnection}, since it bounds the silence within a body. Thread-safe.
 */
final class HubClient {

    private static final int MAX_REDIRECTS = 6;
    /** Broken connections in a row without a new byte. */
    private static final int MAX_BARREN_TRIES = 3;

    private static final long PROGRESS_BYTES = 1 << 20;

    private final HubSettings settings;

    HubClient(HubSettings settings) {
        this.settings = settings;
    }

    /**
     * What the hub says about a file.
     *
     * @param size -1 when it does not say
     * @param etag checksum without quotes; empty when there is none
     */
    record RemoteFile(String name, long size, String etag) {}

    /** A small text, such as the list of a repository's files; at most {@code maxBytes}. */
    byte[] get(String path, int maxBytes) throws IOException {
        HttpURLConnection connection = open("GET", path, 0).connection();
        try {
            check(connection, path);
            try (InputStream in = connection.getInputStream()) {
                byte[] body = in.readNBytes(maxBytes + 1);
                if (body.length > maxBytes) {
                    throw new IOException(path + " answers more than " + maxBytes + " bytes");
                }
                return body;
            }
        } finally {
            connection.disconnect();
        }
    }

    RemoteFile head(ModelSpec.Hub repo, String file) throws IOException {
        String path = resolvePath(repo, file);
        Opened opened = open("HEAD", path, 0);
        try {
            if (!opened.redirected()) {
                check(opened.connection(), path);
            }
            String etag = opened.linkedEtag();
            if (etag == null) {
                etag = clean(opened.connection().getHeaderField("ETag"));
            }
            long size = opened.linkedSize() >= 0
                    ? opened.linkedSize()
                    : opened.connection().getContentLengthLong();
            return new RemoteFile(file, size, etag == null ? "" : etag);
        } finally {
            opened.connection().disconnect();
        }
    }

    /** Downloads and checks; the file is at {@code target}, whole, or an error is thrown and a part is kept for the next try. */
    void download(ModelSpec.Hub repo, RemoteFile file, Path target, Progress progress) throws IOException {
        String mark = file.etag().isEmpty() ? "new" : file.etag().replaceAll("[^0-9A-Za-z]", "");
        Path part = target.resolveSibling(
                target.getFileName() + "." + mark.substring(0, Math.min(16, mark.length())) + ".part");
        if (file.etag().isEmpty()) {
            Files.deleteIfExists(part);
        }
        int barren = 0;
        while (true) {
            long before = Files.exists(part) ? Files.size(part) : 0;
            try {
                transfer(repo, file, part, progress);
                break;
            } catch (IOException e) {
                long now = Files.exists(part) ? Files.size(part) : 0;
                barren = now > before ? 0 : barren + 1;
                if (barren >= MAX_BARREN_TRIES
                        || Files.getFileStore(target.getParent()).getUsableSpace() == 0) {
                    throw e;
                }
            }
        }
        verify(file, part);
        CacheFolder.publish(part, target);
    }

    private void transfer(ModelSpec.Hub repo, RemoteFile file, Path part, Progress progress) throws IOException {
        long have = Files.exists(part) ? Files.size(part) : 0;
        if (file.size() >= 0 && have > file.size()) {
            Files.delete(part);
            have = 0;
        }
        if (have == file.size() && Files.exists(part)) {
            return;
        }
        String path = resolvePath(repo, file.name());
        HttpURLConnection connection = open("GET", path, have).connection();
        try {
            if (connection.getResponseCode() == 416) {
                Files.deleteIfExists(part);
                throw new IOException(path + ": the hub refuses to go on at byte " + have);
            }
            check(connection, path);
            boolean goesOn = connection.getResponseCode() == 206;
            long at = goesOn ? have : 0;
            try (InputStream in = connection.getInputStream();
                    OutputStream out = goesOn
                            ? Files.newOutputStream(part, StandardOpenOption.APPEND)
                            : Files.newOutputStream(part)) {
                at = copy(in, out, file, at, progress);
            }
            if (file.size() >= 0 && at != file.size()) {
                throw new IOException(path + " broke off at byte " + at + " of " + file.size());
            }
        } finally {
            connection.disconnect();
        }
    }

    private static long copy(InputStream in, OutputStream out, RemoteFile file, long start, Progress progress)
            throws IOException {
        byte[] buffer = new byte[1 << 16];
        long at = start;
        long told = start;
        progress.onProgress(file.name(), at, file.size());
        for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
            if (file.size() >= 0 && at + n > file.size()) {
                throw new IOException(file.name() + " is longer than the " + file.size() + " bytes announced");
            }
            out.write(buffer, 0, n);
            at += n;
            if (at - told >= PROGRESS_BYTES) {
                progress.onProgress(file.name(), at, file.size());
                told = at;
            }
        }
        progress.onProgress(file.name(), at, file.size());
        return at;
    }

    private void verify(RemoteFile file, Path part) throws IOException {
        if (!Checksum.isChecksum(file.etag())) {
            return;
        }
        String actual = Checksum.ofKind(file.etag(), part);
        if (!actual.equals(file.etag())) {
            Files.delete(part);
            throw new MillraceException(
                    "MR-HUB-007",
                    file.name() + " from " + settings.endpoint() + " has checksum " + actual + " instead of "
                            + file.etag() + "; it was thrown away. Try again, or check a proxy or mirror in between.");
        }
    }

    /**
     * An answer.
     *
     * @param linkedEtag checksum of a large file, as the hub itself says it; null when it does not
     * @param redirected the connection is a redirect that was not followed
     */
    private record Opened(
            HttpURLConnection connection, @Nullable String linkedEtag, long linkedSize, boolean redirected) {}

    /**
     * Sends a request and follows redirects; the token goes to the hub's own host only. A HEAD stops where the hub has said what the
     * file is: the address it redirects to is signed for GET.
     */
    private Opened open(String method, String path, long from) throws IOException {
        URI uri = URI.create(settings.endpoint() + path);
        String etag = null;
        long size = -1;
        for (int i = 0; i <= MAX_REDIRECTS; i++) {
            HttpURLConnection connection = connect(method, uri, from);
            int status = connection.getResponseCode();
            if (etag == null) {
                etag = clean(connection.getHeaderField("X-Linked-Etag"));
                size = Math.max(size, connection.getHeaderFieldLong("X-Linked-Size", -1));
            }
            String location = connection.getHeaderField("Location");
            boolean redirect = status >= 301 && status <= 308 && status != 304 && location != null;
            if (!redirect || method.equals("HEAD") && etag != null && size >= 0) {
                return new Opened(connection, etag, size, redirect);
            }
            connection.disconnect();
            uri = follow(uri, location);
        }
        throw new IOException(path + " redirects more than " + MAX_REDIRECTS + " times");
    }

    private static URI follow(URI from, String location) throws IOException {
        try {
            URI to = from.resolve(new URI(location));
            boolean downgrade = "https".equals(from.getScheme()) && !"https".equals(to.getScheme());
            if (downgrade || !("https".equals(to.getScheme()) || "http".equals(to.getScheme()))) {
                throw new IOException("redirect from " + from.getHost() + " to an unsafe address");
            }
            return to;
        } catch (URISyntaxException e) {
            throw new IOException("redirect from " + from.getHost() + " to a malformed address", e);
        }
    }

    private HttpURLConnection connect(String method, URI uri, long from) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
        connection.setInstanceFollowRedirects(false);
        connection.setConnectTimeout(settings.connectTimeoutMs());
        connection.setReadTimeout(settings.readTimeoutMs());
        connection.setRequestMethod(method);
        connection.setRequestProperty("User-Agent", "millrace");
        connection.setRequestProperty("Accept-Encoding", "identity");
        boolean home = settings.endpoint().getAuthority().equals(uri.getAuthority())
                && settings.endpoint().getScheme().equals(uri.getScheme());
        if (settings.token() != null && home) {
            connection.setRequestProperty("Authorization", "Bearer " + settings.token());
        }
        if (from > 0) {
            connection.setRequestProperty("Range", "bytes=" + from + "-");
        }
        return connection;
    }

    private void check(HttpURLConnection connection, String path) throws IOException {
        int status = connection.getResponseCode();
        switch (status) {
            case 200, 206 -> {}
            case 401, 403 ->
                throw new MillraceException(
                        "MR-HUB-005",
                        settings.endpoint() + path + " answers " + status + ": "
                                + (settings.token() == null
                                        ? "the model is gated, private or does not exist, and HF_TOKEN is not set."
                                                + " Accept its licence on the hub and set HF_TOKEN."
                                        : "HF_TOKEN does not open it. Check the token and accept the model's licence"
                                                + " on the hub."));
            case 404 ->
                throw new MillraceException(
                        "MR-HUB-006",
                        settings.endpoint() + path + " does not exist (404)."
                                + " Check the spelling of the model, its revision and file.");
            default -> throw new IOException(path + " answers " + status);
        }
    }

    private static String resolvePath(ModelSpec.Hub repo, String file) throws IOException {
        try {
            return new URI(null, null, "/" + repo.repository() + "/resolve/" + repo.revision() + "/" + file, null)
                    .toASCIIString();
        } catch (URISyntaxException e) {
            throw new IOException("no address for " + file, e);
        }
    }

    private static @Nullable String clean(@Nullable String etag) {
        if (etag == null) {
            return null;
        }
        String bare = etag.startsWith("W/") ? etag.substring(2) : etag;
        return bare.replace("\"", "").strip().toLowerCase(Locale.ROOT);
    }
}
