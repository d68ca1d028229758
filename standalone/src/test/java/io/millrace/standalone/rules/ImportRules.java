package io.millrace.standalone.rules;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.lang.ArchRule;
import java.util.List;

/** What each module, and each package of the worker, may not import; for code under a root package, so that fixtures can break them. */
final class ImportRules {

    private ImportRules() {}

    static List<ArchRule> under(String root) {
        return List.of(
                never(root, "shared", List.of("gateway", "router", "worker", "standalone", "bench")),
                never(root, "gateway", List.of("router", "worker", "standalone", "bench")),
                never(root, "router", List.of("gateway", "worker", "standalone", "bench")),
                never(root, "worker", List.of("gateway", "router", "standalone", "bench")),
                never(root, "standalone", List.of("bench")),
                never(
                        root,
                        "worker.sampling",
                        List.of("worker.engine", "worker.journal", "worker.serving", "worker.model", "worker.text")),
                never(root, "worker.backend", List.of("worker.engine", "worker.journal", "worker.serving")),
                never(root, "worker.model", List.of("worker.engine", "worker.journal", "worker.serving")),
                never(
                        root,
                        "worker.text",
                        List.of("worker.engine", "worker.journal", "worker.serving", "worker.backend")),
                never(root, "worker.engine", List.of("worker.journal", "worker.serving", "worker.model")),
                never(root, "router.core", List.of("router.node")),
                pure(root, "shared.fold"),
                pure(root, "router.core"),
                pure(root, "gateway.stream"));
    }

    private static ArchRule never(String root, String module, List<String> others) {
        return noClasses()
                .that()
                .resideInAPackage(root + "." + module + "..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        others.stream().map(other -> root + "." + other + "..").toArray(String[]::new))
                .allowEmptyShould(true)
                .as(module + " must not import " + String.join(", ", others));
    }

    /** The protocol's logic: no Kafka, no Spring, no sockets. */
    private static ArchRule pure(String root, String module) {
        return noClasses()
                .that()
                .resideInAPackage(root + "." + module + "..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("org.apache.kafka..", "org.springframework..", "java.net..", "java.nio.channels..")
                .allowEmptyShould(true)
                .as(module + " is pure");
    }

    /** Packages of the worker form no cycles. */
    static ArchRule noCycles(String root) {
        return slices().matching(root + ".(*)..").should().beFreeOfCycles();
    }
}
