package io.millrace.standalone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.auth.Keyring;
import io.millrace.gateway.limits.TenantLimits;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class KeysCommandTest {

    @TempDir
    private Path dir = Path.of(".");

    private record Ran(int status, String out, String err) {

        String key() {
            return out.lines().findFirst().orElse("");
        }
    }

    private Ran run(String... args) {
        List<String> all = new ArrayList<>(List.of("keys"));
        all.addAll(List.of(args));
        all.addAll(List.of("--data-dir", dir.toString()));
        var out = new ByteArrayOutputStream();
        var err = new ByteArrayOutputStream();
        int status = CommandLines.run(all.toArray(String[]::new), new PrintStream(out), new PrintStream(err));
        return new Ran(status, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    private Keyring ring() {
        return new Keyring(
                Map.of(),
                new io.millrace.gateway.auth.KeyFile(dir.resolve("keys.json")),
                TenantLimits.NONE,
                Instant::now);
    }

    @Test
    void aKeyIsMadeListedReplacedAndRevoked() {
        Ran made = run(
                "create",
                "--tenant",
                "alice",
                "--name",
                "laptop",
                "--scope",
                "chat,tokenize",
                "--model",
                "m*",
                "--expires",
                "90d",
                "--requests-per-minute",
                "5");
        assertThat(made.status()).as(made.err()).isZero();
        var caller = ring().of(made.key());
        assertThat(caller.tenant()).isEqualTo("alice");
        assertThat(caller.account().limits().requestsPerMinute()).isEqualTo(5);
        assertThat(caller.mayUse("m1")).isTrue();
        assertThat(caller.mayUse("x")).isFalse();
        String id = made.key().substring(3, 15);
        Ran list = run("list");
        assertThat(list.out()).contains(id, "alice (laptop)", "chat tokenize", "m*", "5 requests a minute", "expires");
        assertThat(list.out()).doesNotContain(made.key().substring(16));

        Ran replaced = run("rotate", id, "--grace", "1h");
        assertThat(replaced.status()).as(replaced.err()).isZero();
        assertThat(ring().of(made.key())).isEqualTo(caller);
        assertThat(ring().of(replaced.key()).models()).isEqualTo(caller.models());
        assertThat(run("revoke", id).status()).isZero();
        assertThat(run("list").out()).doesNotContain(id);
        assertThat(run("revoke", id).err()).contains("MR-KEY-003", id);
    }

    @ParameterizedTest
    @CsvSource({
        "--scope, everything, MR-KEY-004",
        "--expires, yesterday, MR-KEY-004",
        "--expires, 2001-01-01T00:00:00Z, MR-KEY-004",
        "--expires, -3d, MR-KEY-004",
        "--concurrent, -1, MR-KEY-004",
    })
    void whatIsNoKeyIsRefused(String option, String value, String code) {
        Ran ran = run("create", "--tenant", "alice", option + "=" + value);

        assertThat(ran.status()).isEqualTo(1);
        assertThat(ran.err()).contains(code);
        assertThat(run("list").out()).contains("There are no API keys");
    }
}
