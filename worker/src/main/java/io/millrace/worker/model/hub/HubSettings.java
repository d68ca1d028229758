package io.millrace.worker.model.hub;

import io.millrace.shared.error.MillraceException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Where models are looked for.
 *
 * @param cache folder of downloaded models
 * @param endpoint of the Hugging Face hub
 * @param token sent to the hub as a bearer token; null: none
 * @param offline the hub is not asked
 * @param connectTimeoutMs to open a connection
 * @param readTimeoutMs the longest silence within a download
 * @param pip commands that may run pip, best first
 * @param pipTimeoutMs the longest a run of pip may take
 */
public record HubSettings(
        Path cache,
        URI endpoint,
        @Nullable String token,
        boolean offline,
        int connectTimeoutMs,
        int readTimeoutMs,
        List<List<String>> pip,
        long pipTimeoutMs) {

    private static final String HUB = "https://huggingface.co";
    private static final List<List<String>> PIP =
            List.of(List.of("pip"), List.of("pip3"), List.of("python3", "-m", "pip"), List.of("python", "-m", "pip"));

    /**
     * From {@code MILLRACE_CACHE} (else {@code XDG_CACHE_HOME/millrace}, else {@code ~/.cache/millrace}), {@code HF_ENDPOINT},
     * {@code HF_TOKEN} and {@code HF_HUB_OFFLINE}. MR-HUB-002 when the endpoint is no address.
     */
    public static HubSettings fromEnvironment(Map<String, String> environment) {
        String endpoint = value(environment, "HF_ENDPOINT", HUB);
        String token = value(environment, "HF_TOKEN", "");
        return new HubSettings(
                cache(environment),
                endpoint(endpoint),
                token.isEmpty() ? null : token,
                isTrue(value(environment, "HF_HUB_OFFLINE", "")),
                3_000,
                30_000,
                PIP,
                600_000);
    }

    private static URI endpoint(String text) {
        try {
            URI uri = new URI(text.replaceAll("/+$", ""));
            if (uri.getHost() != null && ("http".equals(uri.getScheme()) || "https".equals(uri.getScheme()))) {
                return uri;
            }
        } catch (URISyntaxException e) {
            throw malformed(text, e);
        }
        throw malformed(text, null);
    }

    private static MillraceException malformed(String endpoint, @Nullable Throwable cause) {
        String message = "HF_ENDPOINT is " + endpoint + ", which is no http(s) address. Correct it, or unset it for "
                + HUB + ".";
        return cause == null
                ? new MillraceException("MR-HUB-002", message)
                : new MillraceException("MR-HUB-002", message, cause);
    }

    private static Path cache(Map<String, String> environment) {
        String own = value(environment, "MILLRACE_CACHE", "");
        if (!own.isEmpty()) {
            return Path.of(own).toAbsolutePath();
        }
        String xdg = value(environment, "XDG_CACHE_HOME", "");
        if (!xdg.isEmpty()) {
            return Path.of(xdg, "millrace").toAbsolutePath();
        }
        String home = value(environment, "HOME", System.getProperty("user.home", "."));
        return Path.of(home, ".cache", "millrace").toAbsolutePath();
    }

    private static String value(Map<String, String> environment, String key, String absent) {
        String value = environment.get(key);
        return value == null || value.isBlank() ? absent : value.strip();
    }

    private static boolean isTrue(String value) {
        return switch (value.toLowerCase(Locale.ROOT)) {
            case "1", "true", "yes", "on" -> true;
            default -> false;
        };
    }

    @Override
    public String toString() {
        return "HubSettings[cache=" + cache + ", endpoint=" + endpoint + ", token=" + (token == null ? "none" : "set")
                + ", offline=" + offline + "]";
    }
}
