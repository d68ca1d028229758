package io.millrace.standalone.cli;

import io.millrace.gateway.auth.ApiKey;
import io.millrace.gateway.auth.KeyFile;
import io.millrace.gateway.auth.Scope;
import io.millrace.gateway.limits.TenantLimits;
import io.millrace.shared.error.MillraceException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.convert.DurationStyle;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code millrace keys}: makes, lists, replaces and revokes the API keys of the gateway's file; running gateways see it within a second. */
@Command(
        name = "keys",
        description = "Makes, lists, replaces and revokes API keys; running gateways see it at once.",
        synopsisSubcommandLabel = "(create | list | rotate | revoke)",
        subcommands = {
            KeysCommand.Create.class,
            KeysCommand.ListAll.class,
            KeysCommand.Rotate.class,
            KeysCommand.Revoke.class
        })
final class KeysCommand {

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "Says what there is.")
    private boolean help;

    /** Where the file is. */
    static final class FileOption {

        @Option(
                names = "--file",
                paramLabel = "FILE",
                description =
                        "The file of keys, as millrace.gateway.keys-file names it (default: keys.json in --data-dir).")
        private @Nullable Path file;

        @Option(
                names = "--data-dir",
                paramLabel = "DIR",
                description = "As of the gateway (default: .millrace beside the script).")
        private @Nullable Path dataDir;

        @Option(
                names = {"-h", "--help"},
                usageHelp = true,
                hidden = true)
        private boolean help;

        KeyFile keys() {
            return new KeyFile(file == null ? CommonOptions.keysFile(CommonOptions.dataDir(dataDir)) : file);
        }
    }

    /** {@code millrace keys create}. */
    @Command(name = "create", description = "Makes a key and prints it, once.", sortOptions = false)
    static final class Create implements Callable<Integer> {

        @Option(names = "--tenant", required = true, description = "Whose it is; a tenant may have several keys.")
        @SuppressWarnings("NullAway.Init")
        private String tenant;

        @Option(names = "--name", defaultValue = "", description = "For people.")
        @SuppressWarnings("NullAway.Init")
        private String name;

        @Option(
                names = "--scope",
                split = ",",
                paramLabel = "SCOPE",
                description = "What it opens: inference (default), admin, or chat, completions, responses, messages,"
                        + " embeddings, rerank, score, tokenize, files, models; several with commas.")
        private List<String> scopes = new ArrayList<>();

        @Option(
                names = "--model",
                split = ",",
                paramLabel = "NAME",
                description = "Models it may use, '*' at the end for any rest (default: all).")
        private List<String> models = new ArrayList<>();

        @Option(
                names = "--expires",
                paramLabel = "WHEN",
                description = "A time such as 2030-01-31T12:00:00Z, or from now: 90d, 12h (default: never).")
        private @Nullable String expires;

        @Option(names = "--requests-per-minute", description = "Of this key alone (default: the gateway's limit).")
        private int requests;

        @Option(names = "--tokens-per-minute", description = "Of this key alone (default: the gateway's limit).")
        private int tokens;

        @Option(names = "--concurrent", description = "Requests of this key at a time (default: the gateway's limit).")
        private int concurrent;

        @Mixin
        private FileOption file = new FileOption();

        @Spec
        @SuppressWarnings("NullAway.Init")
        private CommandSpec spec;

        @Override
        public Integer call() {
            if (requests < 0 || tokens < 0 || concurrent < 0 || tenant.isBlank()) {
                throw new MillraceException("MR-KEY-004", "--tenant must not be blank, and limits not be negative.");
            }
            KeyFile.Made made = file.keys()
                    .create(
                            tenant,
                            name,
                            scopes(),
                            models,
                            new TenantLimits(requests, tokens, concurrent),
                            expires == null ? null : when(expires));
            print(spec.commandLine().getOut(), made, file.keys());
            return 0;
        }

        private Set<Scope> scopes() {
            Set<Scope> wanted = EnumSet.noneOf(Scope.class);
            for (String scope : scopes.isEmpty() ? List.of(Scope.INFERENCE.text()) : scopes) {
                wanted.add(Scope.parse(scope.strip().toLowerCase(Locale.ROOT))
                        .orElseThrow(() -> new MillraceException(
                                "MR-KEY-004",
                                "--scope '" + scope + "' is not there; there are: " + Scope.names() + ".")));
            }
            return wanted;
        }
    }

    /** {@code millrace keys list}. */
    @Command(name = "list", description = "Lists the keys, without their secrets.")
    static final class ListAll implements Callable<Integer> {

        @Mixin
        private FileOption file = new FileOption();

        @Spec
        @SuppressWarnings("NullAway.Init")
        private CommandSpec spec;

        @Override
        public Integer call() {
            PrintWriter out = spec.commandLine().getOut();
            KeyFile keys = file.keys();
            List<ApiKey> all = keys.exists() ? keys.read() : List.of();
            if (all.isEmpty()) {
                out.println("There are no API keys in " + keys.path() + ".");
            }
            Instant now = Instant.now();
            for (ApiKey key : all) {
                out.println(line(key, now));
            }
            return 0;
        }
    }

    /** {@code millrace keys rotate}. */
    @Command(name = "rotate", description = "Makes a key like that one, which ends after a while.", sortOptions = false)
    static final class Rotate implements Callable<Integer> {

        @Parameters(paramLabel = "ID", description = "As 'keys list' shows it.")
        @SuppressWarnings("NullAway.Init")
        private String id;

        @Option(
                names = "--grace",
                defaultValue = "7d",
                description = "How long the old one is still taken (default ${DEFAULT-VALUE}).")
        @SuppressWarnings("NullAway.Init")
        private String grace;

        @Mixin
        private FileOption file = new FileOption();

        @Spec
        @SuppressWarnings("NullAway.Init")
        private CommandSpec spec;

        @Override
        public Integer call() {
            KeyFile keys = file.keys();
            Instant end = when(grace);
            List<ApiKey> before = new ArrayList<>();
            keys.change(id, old -> {
                before.add(old);
                Instant now = old.expires();
                return now != null && now.isBefore(end) ? old : old.expiring(end);
            });
            ApiKey old = before.getFirst();
            KeyFile.Made made =
                    keys.create(old.tenant(), old.name(), old.scopes(), old.models(), old.limits(), old.expires());
            print(spec.commandLine().getOut(), made, keys);
            spec.commandLine().getOut().println("The old one is taken until " + end + " at most.");
            return 0;
        }
    }

    /** {@code millrace keys revoke}. */
    @Command(name = "revoke", description = "Takes a key out, now.")
    static final class Revoke implements Callable<Integer> {

        @Parameters(paramLabel = "ID", description = "As 'keys list' shows it.")
        @SuppressWarnings("NullAway.Init")
        private String id;

        @Mixin
        private FileOption file = new FileOption();

        @Spec
        @SuppressWarnings("NullAway.Init")
        private CommandSpec spec;

        @Override
        public Integer call() {
            file.keys().change(id, old -> null);
            spec.commandLine().getOut().println("Key " + id + " is revoked.");
            return 0;
        }
    }

    private static void print(PrintWriter out, KeyFile.Made made, KeyFile file) {
        out.println(made.text().whole());
        out.println("This is shown once: " + line(made.key(), Instant.now()) + "; hash in " + file.path() + ".");
    }

    private static String line(ApiKey key, Instant now) {
        StringBuilder line = new StringBuilder(key.id() + "  tenant " + key.tenant());
        if (!key.name().isEmpty()) {
            line.append(" (").append(key.name()).append(')');
        }
        line.append(", ")
                .append(String.join(
                        " ", key.scopes().stream().sorted().map(Scope::text).toList()));
        line.append(", models ").append(key.models().isEmpty() ? "all" : String.join(" ", key.models()));
        TenantLimits limits = key.limits();
        limit(line, limits.requestsPerMinute(), "requests a minute");
        limit(line, limits.tokensPerMinute(), "tokens a minute");
        limit(line, limits.concurrent(), "at a time");
        if (key.expires() != null) {
            line.append(key.expired(now) ? ", expired " : ", expires ").append(key.expires());
        }
        return line.toString();
    }

    private static void limit(StringBuilder line, int limit, String of) {
        if (limit > 0) {
            line.append(", ").append(limit).append(' ').append(of);
        }
    }

    /** A time, or a span from now. */
    private static Instant when(String text) {
        Instant now = Instant.now().truncatedTo(ChronoUnit.SECONDS);
        try {
            Duration span = text.contains("T") ? Duration.ZERO : DurationStyle.detectAndParse(text);
            Instant when = text.contains("T") ? Instant.parse(text) : now.plus(span);
            if (when.isAfter(now)) {
                return when;
            }
        } catch (IllegalArgumentException | DateTimeException | ArithmeticException e) {
            // Told below.
        }
        throw new MillraceException(
                "MR-KEY-004",
                "'" + text + "' is no time to come; write 2030-01-31T12:00:00Z, or a span such as 90d or 12h.");
    }
}
