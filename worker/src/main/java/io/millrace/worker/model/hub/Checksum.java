package io.millrace.worker.model.hub;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.regex.Pattern;

/** Checksums that the hub names in its ETags: SHA-256 of large files, git's blob SHA-1 of small ones. */
final class Checksum {

    private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");
    private static final Pattern SHA1 = Pattern.compile("[0-9a-f]{40}");

    private Checksum() {}

    /** Whether the ETag is a checksum at all; another one says nothing about the content. */
    static boolean isChecksum(String etag) {
        return SHA256.matcher(etag).matches() || SHA1.matcher(etag).matches();
    }

    /** The file's checksum of the same kind as {@code etag}, in lower-case hex. */
    static String ofKind(String etag, Path file) throws IOException {
        return SHA256.matcher(etag).matches() ? sha256(file) : gitBlob(file);
    }

    static String sha256(Path file) throws IOException {
        return digest("SHA-256", new byte[0], file);
    }

    private static String gitBlob(Path file) throws IOException {
        byte[] header = ("blob " + Files.size(file) + "\0").getBytes(StandardCharsets.US_ASCII);
        return digest("SHA-1", header, file);
    }

    private static String digest(String algorithm, byte[] header, Path file) throws IOException {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance(algorithm);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has " + algorithm, e);
        }
        digest.update(header);
        byte[] buffer = new byte[1 << 16];
        try (InputStream in = Files.newInputStream(file)) {
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                digest.update(buffer, 0, n);
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }
}
