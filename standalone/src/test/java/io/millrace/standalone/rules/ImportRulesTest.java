package io.millrace.standalone.rules;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchRule;
import java.util.List;
import org.junit.jupiter.api.Test;

class ImportRulesTest {

    /** Test jars of other modules: a packaged build has them as files, not as folders of test classes. */
    private static final ImportOption NO_TEST_JARS = location -> !location.contains("-tests.jar");

    private static final String FIXTURES = "io.millrace.standalone.rules.fixtures";

    @Test
    void theCodeKeepsTheRules() {
        JavaClasses classes = new ClassFileImporter()
                .withImportOption(new ImportOption.DoNotIncludeTests())
                .withImportOption(NO_TEST_JARS)
                .importPackages("io.millrace");
        assertThat(classes.size()).isGreaterThan(200);

        ImportRules.under("io.millrace").forEach(rule -> rule.check(classes));
    }

    @Test
    void modulesFormNoCycles() {
        JavaClasses classes = new ClassFileImporter()
                .withImportOption(new ImportOption.DoNotIncludeTests())
                .withImportOption(NO_TEST_JARS)
                .importPackages("io.millrace");

        ImportRules.noCycles("io.millrace").check(classes);
    }

    @Test
    void fixturesThatBreakTheRulesAreFound() {
        JavaClasses classes = new ClassFileImporter().importPackages(FIXTURES);

        List<String> broken = ImportRules.under(FIXTURES).stream()
                .filter(rule -> rule.evaluate(classes).hasViolation())
                .map(ArchRule::getDescription)
                .map(text -> text.replaceAll(" must not import.*", ""))
                .toList();

        assertThat(broken).containsExactly("shared", "gateway", "router", "worker.engine", "router.core is pure");
    }
}
