package io.millrace.gateway.auth;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.gateway.limits.Account;
import io.millrace.gateway.limits.TenantLimits;
import io.millrace.gateway.stream.ApiException;
import io.millrace.shared.error.MillraceException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Keys, their file, and who may do what. */
class KeyringTest {

    private static final long LATER = Duration.ofMillis(1_100).toNanos();
    private static final TenantLimits DEFAULTS = new TenantLimits(60, 0, 0);

    @TempDir
    private Path dir = Path.of(".");

    private KeyFile file = new KeyFile(Path.of("keys.json"));

    @BeforeEach
    void freshFile() {
        file = new KeyFile(dir.resolve("sub/keys.json"));
    }

    private KeyFile.Made make(String tenant, Set<Scope> scopes, @Nullable Instant expires) {
        return file.create(tenant, "test", scopes, List.of(), TenantLimits.NONE, expires);
    }

    private Keyring ring(Map<String, String> keys) {
        return new Keyring(keys, file, DEFAULTS, Instant::now);
    }

    private static String codeOf(Keyring ring, @Nullable String key) {
        try {
            return ring.of(key).tenant();
        } catch (ApiException e) {
            assertThat(e.error().status()).isEqualTo(401);
            return e.error().code();
        }
    }

    @Test
    void nobodyIsAskedForAKeyWhereThereAreNone() {
        assertThat(codeOf(ring(Map.of()), null)).isEqualTo("default");
    }

    @Test
    void severalKeysOpenOneTenantAndTheirSecretsAreNotKept() throws Exception {
        KeyFile.Made first = make("alice", Set.of(Scope.INFERENCE), null);
        KeyFile.Made second = make("alice", Set.of(Scope.CHAT), null);
        Keyring ring = ring(Map.of("sesame", "bob"));

        assertThat(codeOf(ring, first.text().whole())).isEqualTo("alice");
        assertThat(codeOf(ring, second.text().whole())).isEqualTo("alice");
        assertThat(codeOf(ring, "sesame")).isEqualTo("bob");
        assertThat(codeOf(ring, null)).isEqualTo("missing_api_key");
        for (String wrong : List.of(
                "sesam",
                first.text().whole() + "x",
                "mr_" + first.text().id() + "_" + second.text().secret(),
                "mr_000000000000_" + first.text().secret(),
                "mr__",
                "ключ")) {
            assertThat(codeOf(ring, wrong)).isEqualTo("invalid_api_key");
        }
        String text = Files.readString(file.path());
        assertThat(text).doesNotContain(first.text().secret(), second.text().secret());
        assertThat(first.toString() + first.key()).doesNotContain(first.text().secret());
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file.path())))
                .isEqualTo("rw-------");
    }

    @Test
    void aKeyIsOverWhenItsTimeIs() {
        Instant end = Instant.parse("2030-01-01T00:00:00Z");
        KeyFile.Made key = make("alice", Set.of(Scope.INFERENCE), end);
        var now = new AtomicReference<>(end.minusSeconds(1));
        var ring = new Keyring(Map.of(), file, DEFAULTS, now::get);

        assertThat(codeOf(ring, key.text().whole())).isEqualTo("alice");
        now.set(end);
        assertThatThrownBy(() -> ring.of(key.text().whole()))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining("2030-01-01T00:00:00Z");
    }

    @Test
    void changesOfTheFileAreSeenWithoutARestartAndADamagedOneOpensNothing() throws Exception {
        var nanos = new AtomicLong();
        Keyring ring = new Keyring(Map.of(), file, DEFAULTS, Instant::now, nanos::get);
        assertThat(codeOf(ring, null)).isEqualTo("default");

        KeyFile.Made key = make("alice", Set.of(Scope.INFERENCE), null);
        assertThat(codeOf(ring, null)).as("not looked at again yet").isEqualTo("default");
        nanos.addAndGet(LATER);
        assertThat(codeOf(ring, null)).isEqualTo("missing_api_key");
        assertThat(codeOf(ring, key.text().whole())).isEqualTo("alice");

        String good = Files.readString(file.path());
        Files.writeString(file.path(), "{\"keys\":[{");
        nanos.addAndGet(LATER);
        assertThat(codeOf(ring, key.text().whole())).isEqualTo("alice");
        assertThat(codeOf(ring, null)).isEqualTo("missing_api_key");

        Files.writeString(file.path(), good);
        file.change(key.key().id(), old -> null);
        nanos.addAndGet(LATER);
        assertThat(codeOf(ring, key.text().whole())).isEqualTo("invalid_api_key");
        Files.delete(file.path());
        nanos.addAndGet(LATER);
        assertThat(codeOf(ring, null)).isEqualTo("missing_api_key");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "[]",
                "{}",
                "{\"keys\":1}",
                "{\"keys\":[{}]}",
                "{\"keys\":[],\"x\":1}",
                "{\"keys\":[]} {}",
                "{\"keys\":[{\"id\":\"a\",\"salt\":\"00\",\"hash\":\"00\",\"tenant\":\"t\"}]}",
                "{\"keys\":[{\"id\":\"a\",\"salt\":\"zz\",\"hash\":\"00\",\"tenant\":\"t\"}]}"
            })
    void aFileThatIsNoKeyFileIsRefusedAtTheStart(String text) throws Exception {
        Files.createDirectories(dir.resolve("sub"));
        Files.writeString(file.path(), text);

        assertThatThrownBy(() -> ring(Map.of()))
                .isInstanceOf(MillraceException.class)
                .hasMessageContaining(file.path().toString())
                .satisfies(e -> assertThat(e.toString()).contains("MR-KEY-001"));
    }

    @Test
    void limitsOfAKeyAreItsOwnAndTheRestIsTheGateways() {
        KeyFile.Made plain = make("alice", Set.of(Scope.INFERENCE), null);
        KeyFile.Made own =
                file.create("alice", "", Set.of(Scope.INFERENCE), List.of(), new TenantLimits(0, 1000, 0), null);
        Keyring ring = ring(Map.of());

        assertThat(ring.of(plain.text().whole()).account().limits()).isEqualTo(DEFAULTS);
        assertThat(ring.of(plain.text().whole()).account().name()).isEqualTo("tenant:alice");
        assertThat(ring.of(own.text().whole()).account().limits()).isEqualTo(new TenantLimits(60, 1000, 0));
        assertThat(ring.of(own.text().whole()).account().name())
                .isEqualTo("key:" + own.key().id());
    }

    @ParameterizedTest
    @CsvSource({
        "inference, /v1/chat/completions, true",
        "inference, /v1/batches, true",
        "inference, /v1/something/new, true",
        "inference, /actuator/prometheus, false",
        "admin, /actuator/prometheus, true",
        "admin, /v1/messages/count_tokens, true",
        "chat, /v1/chat/completions, true",
        "chat, /v1/chat/completions/chatcmpl-1, true",
        "chat, /v1/models, true",
        "chat, /v1/completions, false",
        "chat, /v1/chat/completionsx, false",
        "chat, /v1/something/new, false",
        "tokenize, /detokenize, true",
        "models, /v1/models/a/b, true",
        "models, /v1/responses, false",
    })
    void aScopeOpensItsPathsOnly(String scope, String path, boolean opens) {
        var caller = new Caller(
                "t",
                new Account("t", TenantLimits.NONE),
                Set.of(Scope.parse(scope).orElseThrow()),
                List.of());
        if (opens) {
            caller.checkPath(path);
        } else {
            assertThatThrownBy(() -> caller.checkPath(path)).isInstanceOfSatisfying(ApiException.class, e -> {
                assertThat(e.error().status()).isEqualTo(403);
                assertThat(e.error().code()).isEqualTo("insufficient_permissions");
            });
        }
    }

    @Test
    void modelsAreNamedWholeOrByTheirBeginning() {
        var caller =
                new Caller("t", new Account("t", TenantLimits.NONE), Set.of(Scope.CHAT), List.of("alpha", "org/*"));

        assertThat(caller.mayUse("alpha")).isTrue();
        assertThat(caller.mayUse("alphabet")).isFalse();
        assertThat(caller.mayUse("org/small")).isTrue();
        assertThat(caller.mayUse("other")).isFalse();
    }
}
