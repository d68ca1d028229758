package io.millrace.standalone.parts;

import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/**
 * What this process was started for.
 *
 * @param broker completes when the broker in this process takes clients; completed when there is none
 * @param progress hears lines for a person
 */
record RunningParts(Set<Role> roles, CompletableFuture<?> broker, Consumer<String> progress) {}
